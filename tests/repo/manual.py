# SPDX-License-Identifier: MIT
"""manual.py LIBRARY-FOLDER CC...: the manual, and whether it is true."""
import os
import re
import sys
import tempfile

from contract import functions
from pages import PAGES
from promise import ROOT, Skip, keep_all, read, run, tracked, want, want_none

LIBRARY, CC = sys.argv[1], sys.argv[2:]
FLAGS = ['-std=gnu11', '-O1', '-Wall', '-Wextra', '-Werror', '-pthread']


def code_blocks(text):
    return re.findall(r'^```\n(.*?)^```', text, re.M | re.S)


def pages_are_whole():
    """every page has the sections that it must have"""
    want(len(PAGES) > 15, f'only {len(PAGES)} pages found')
    want_none([f'{page.path}: {line}' for page in PAGES
               for line in page.faults()])


def faults_would_be_found():
    """a page without one of its sections would not be built"""
    for page in PAGES:
        if page.section != '3':
            continue
        for title in ('NAME', 'SYNOPSIS', 'EXAMPLES', 'RETURN VALUE'):
            whole = page.text
            page.text = whole.replace(f'\n# {title}\n', '\n# OTHER\n')
            missed = not page.faults()
            page.text = whole
            want(not missed, f'{page.name} without {title} passed')


def pages_are_built():
    """every page is in the list of man/meson.build"""
    listed = read('man/meson.build')
    want_none([page.path for page in PAGES
               if f"'{os.path.basename(page.path)}'" not in listed])


def begun(header):
    """Has the manual anything on this header? Two it must have."""
    return header in ('kernel.h', 'engine.h') or any(
        f'#include <uffd/{header}>' in (page.body('SYNOPSIS') or '')
        for page in PAGES if page.section == '3')


def functions_have_a_page():
    """every public function has a page, and no page a function too many"""
    described = {name: page for page in PAGES if page.section == '3'
                 for name in page.names()}
    known = functions()
    want_none([f'{name} has no page' for name, (header, _) in known.items()
               if name not in described and begun(header)] +
              [f'{described[name].path} names {name}, which is no function'
               for name in described if name not in known])


def squeeze(text):
    return re.sub(r'\s*([(),;*])\s*', r'\1', ' '.join(text.split()))


def prototypes_are_the_headers():
    """each SYNOPSIS has the prototypes and the header of its functions"""
    known = functions()
    bad = []
    for page in PAGES:
        synopsis = page.body('SYNOPSIS') or ''
        for name in page.names():
            if page.section != '3' or name not in known:
                continue
            header, prototype = known[name]
            if f'#include <uffd/{header}>' not in synopsis:
                bad.append(f'{page.name}: no #include <uffd/{header}>')
            if squeeze(prototype) + ';' not in squeeze(synopsis):
                bad.append(f'{page.name}: not as declared: {prototype}')
    want_none(bad)


def structs_of(text):
    """name: members, of the structs defined in a text."""
    text = re.sub(r'/\*.*?\*/', '', text, flags=re.S)
    found = re.findall(r'^struct (\w+) \{\n(.*?)^\}', text, re.M | re.S)
    return {name: re.sub(r'(\w+) (\w+),(\w+);', r'\1 \2;\1 \3;',
                         squeeze(members)) for name, members in found}


def structs_are_the_headers():
    """each struct that a SYNOPSIS shows is the header's"""
    real = {}
    for path in tracked('include/uffd/'):
        if path.endswith('.h'):
            real.update(structs_of(read(path)))
    bad = []
    shown = 0
    for page in PAGES:
        for name, members in structs_of(page.body('SYNOPSIS') or '').items():
            shown += 1
            if members != real.get(name):
                bad += [f'{page.name}: struct {name} is not the header\'s:',
                        f'  {members}', f'  {real.get(name)}']
    want(shown > 5, f'only {shown} structs found')
    want_none(bad)


def references_lead_somewhere():
    """every page of ours that a page refers to exists"""
    names = {(name, page.section) for page in PAGES for name in page.names()}
    bad = []
    for page in PAGES:
        for name, section in re.findall(r'\*(uffd[\w-]*|libuffd)\*\((\d)\)',
                                        page.text):
            if (name, section) not in names:
                bad.append(f'{page.path} refers to {name}({section})')
    want_none(sorted(set(bad)))


def programs():
    """(page, text) of every complete program in the manual."""
    return [(page, block) for page in PAGES for block in code_blocks(page.text)
            if re.search(r'^int main\(', block, re.M)]


def compile_each(link, check):
    """What the compiler and then `check` say of every program."""
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (page, text) in enumerate(programs()):
            source = os.path.join(folder, f'{page.name}-{number}.c')
            with open(source, 'w', encoding='utf-8') as file:
                file.write(text)
            ran = run(*CC, *FLAGS, '-I', os.path.join(ROOT, 'include'),
                      source, '-o', source + '.out', *link)
            if ran.returncode:
                bad += [f'{page.path}:', ran.stdout]
            else:
                bad += check(page, source + '.out')
    return bad


def examples_compile():
    """every complete program in the manual compiles, without a warning"""
    want(len(programs()) > 15, f'only {len(programs())} programs found')
    want_none(compile_each(['-c'], lambda page, program: []))


def sanitized():
    """Does the library want a sanitizer's runtime loaded before it?"""
    with open(os.path.join(LIBRARY, 'libuffd.so'), 'rb') as file:
        content = file.read()
    return any(name in content for name in
               (b'__asan_init', b'__tsan_init', b'__ubsan_handle'))


def examples_run():
    """every complete program in the manual runs, and succeeds"""
    if sanitized():
        raise Skip('programs beside a sanitized library do not start')
    if os.geteuid() != 0:
        raise Skip('not root, who may open a userfaultfd')

    def check(page, program):
        ran = run(program, timeout=20)
        if ran.returncode == 0:
            return []
        return [f'{page.path}: exit status {ran.returncode}', ran.stdout]

    want_none(compile_each(['-L', LIBRARY, '-luffd', '-Wl,-rpath,' +
                            os.path.abspath(LIBRARY)], check))


def headings_are_early():
    """the pages of commands begin with examples"""
    late = [page.path for page in PAGES if page.section == '1' and
            page.text.find('\n# EXAMPLES') > page.text.find('\n# DESCRIPTION')]
    want_none(late)


if __name__ == '__main__':
    keep_all(pages_are_whole, faults_would_be_found, pages_are_built,
             functions_have_a_page, prototypes_are_the_headers,
             structs_are_the_headers, references_lead_somewhere,
             headings_are_early, examples_compile, examples_run)
