# SPDX-License-Identifier: MIT
"""house.py LIBRARY.a: house rules that a program can check."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

from promise import ROOT, Skip, keep_all, read, run_well, tracked, want, \
    want_none

LIBRARY = sys.argv[1]

LONGEST_FUNCTION = 80
LONGEST_FILE = 600
LONGEST_TEST = 800

# Where there is state at file scope that can't be done without, and why.
STATE = {
    'engine_engine.c': 'numbers that no two engines may share',
    'engine_sigbus.c': 'a process has one handler for a signal',
    'engine_wake.c': 'what waking costs is a fact about the machine',
    'store_flight.c': 'whose turn it is, in each thread',
    'store_registry.c': 'loaded code belongs to the process',
}

SOURCES = ('.c', '.h', '.py', '.build', '.scd')
SPDX = 'SPDX-License-Identifier: MIT'


def functions_of(text):
    """(line, length) of what begins in the first column with a brace."""
    begin = None
    for number, line in enumerate(text.split('\n'), 1):
        if line == '{':
            begin = number
        elif line == '}' and begin:
            yield begin, number - begin - 1
            begin = None


def licence_is_named():
    """every source file says its licence in one line, and in no essay"""
    bad = []
    for path in tracked():
        named = path.endswith(SOURCES[:-1]) or path.startswith('scripts/')
        if named and SPDX not in '\n'.join(read(path).split('\n')[:3]):
            bad.append(f'{path} has no "{SPDX}" on top')
    want_none(bad)


def functions_are_short():
    """no function is longer than 80 lines"""
    bad = []
    seen = 0
    for path in tracked():
        if path.endswith('.c'):
            for line, length in functions_of(read(path)):
                seen += 1
                if length > LONGEST_FUNCTION:
                    bad.append(f'{path}:{line}: {length} lines')
    want(seen > 100, f'only {seen} functions found')
    want_none(bad)


def files_are_short():
    """no C file is longer than 600 lines, and no test than 800"""
    bad = []
    for path in tracked():
        most = LONGEST_TEST if path.startswith('tests/') else LONGEST_FILE
        lines = len(read(path).splitlines()) if path.endswith('.c') else 0
        if lines > most:
            bad.append(f'{path}: {lines} lines')
    want_none(bad)


def comments_are_closed():
    """no // comments, no trailing blanks, no work left for later"""
    bad = []
    for path in tracked():
        if not path.endswith(('.c', '.h')):
            continue
        for number, line in enumerate(read(path).split('\n'), 1):
            code = re.sub(r'"(\\.|[^"\\])*"', '""', line)
            if re.search(r'(?<!:)//', code) and '*' not in code[:4]:
                bad.append(f'{path}:{number}: // comment')
            if line != line.rstrip():
                bad.append(f'{path}:{number}: trailing blank')
            if re.search(r'\b(TODO|FIXME|XXX)\b', line):
                bad.append(f'{path}:{number}: {line.strip()}')
    want_none(bad)


def writable(archive):
    """(object, symbol) of every variable at file scope that can change."""
    symbols = run_well('objdump', '-t', archive, stderr=subprocess.DEVNULL)
    member = ''
    found = []
    for line in symbols.split('\n'):
        if ':     file format ' in line:
            member = line.split(':')[0]
        match = re.match(r'^\S+ .{7} (\.data|\.bss|\.tbss|\.tdata)(?:\.(?!rel)'
                         r'\S+)?\t\S+ (?:\.hidden )?(\S+)$', line)
        if match and match.group(2) not in ('.data', '.bss'):
            found.append((member, match.group(2).split('.')[0]))
    want(member, f'objdump says nothing of {archive}')
    return found


def sanitized():
    return '__asan_init' in run_well('nm', LIBRARY,
                                     stderr=subprocess.DEVNULL)


def library_keeps_no_state():
    """the library has no mutable state at file scope, but what says why"""
    if not shutil.which('objdump'):
        raise Skip('no objdump (binutils)')
    if sanitized():
        raise Skip('a sanitizer adds state of its own')
    found = [(os.path.basename(member).removesuffix('.o'), name)
             for member, name in writable(LIBRARY)]
    want_none([f'{member}: {name}' for member, name in found
               if member not in STATE] +
              [f'{member} is excused and needs no excuse' for member in STATE
               if member not in {member for member, _ in found}])


def state_would_be_found():
    """mutable state at file scope would be found"""
    if not shutil.which('objdump') or not shutil.which('cc'):
        raise Skip('no objdump or cc')
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, 'state.c')
        with open(source, 'w', encoding='utf-8') as file:
            file.write('static int counter; int next(void);\n'
                       'static const char *const fine[] = { "a" };\n'
                       'int next(void) { static int calls = 1;\n'
                       'return ++counter + ++calls + *fine[0]; }\n')
        run_well('cc', '-c', '-fPIC', source, '-o', source + '.o')
        names = sorted(name for _, name in writable(source + '.o'))
        want(names == ['calls', 'counter'], names)


def scripts_are_runnable():
    """every script can be run, and nothing else can"""
    bad = []
    for path in tracked():
        full = os.path.join(ROOT, path)
        runnable = os.access(full, os.X_OK)
        with open(full, 'rb') as file:
            script = file.read(2) == b'#!'
        # (what a test runner calls through python3 need not be runnable)
        if runnable != script and (runnable or not path.endswith('.py')):
            bad.append(f'{path}: {"runnable" if runnable else "not runnable"}')
    want_none(bad)


if __name__ == '__main__':
    keep_all(licence_is_named, functions_are_short, files_are_short,
             comments_are_closed, library_keeps_no_state,
             state_would_be_found, scripts_are_runnable)
