# SPDX-License-Identifier: MIT
"""The layers: what each folder may use, told by its #include lines."""
import os
import re
import sys

from promise import ROOT, keep_all, read, tracked, want, want_none

KERNEL = ['abi', 'kernel']
ENGINE = KERNEL + ['engine']
STORE = ['store']
PAGER = ENGINE + STORE + ['pager']
ALL = ['*']

# folder: (public headers, folders of ours, libraries) that it may use, beside
# itself, the C library and the kernel's headers. A folder that is not here is
# a mistake; HACKING.md says the same in words.
MAY = {
    'lib': ([], [], []),
    'lib/kernel': (KERNEL, [], []),
    'lib/engine': (ENGINE, ['lib/kernel'], []),
    'lib/store': (STORE, [], ['liburing', 'lz4', 'zstd', 'sdt']),
    'lib/pager': (PAGER, ['lib/kernel', 'lib/engine', 'lib/store'],
                  ['xxhash', 'sdt']),
    'lib/track': (PAGER + ['track'],
                  ['lib/kernel', 'lib/engine', 'lib/store', 'lib/pager'],
                  ['xxhash', 'sdt']),
    'lib/serve': (PAGER + ['serve'],
                  ['lib/kernel', 'lib/engine', 'lib/store', 'lib/pager'],
                  ['jansson', 'seccomp', 'microhttpd', 'sdt']),
    'stores/*': (STORE, [], ALL),
    'export': (ALL, [], ['nbdkit']),
    'run': (ALL, [], []),
    'bench': (ALL, [], ['liburing']),
    'tool': (ALL, ['bench'], ['jansson']),
    'examples': (ALL, [], []),
    'fuzz': (ALL, ['tool', 'lib/store', 'lib/track', 'lib/serve'], []),
    'tests': (ALL, ALL, ALL),
}

# a public header stands on those below it
HEADER_MAY = {
    'lib': ([], [], []),
    'abi': [],
    'kernel': ['abi'],
    'engine': KERNEL,
    'store': [],
    'pager': ENGINE + STORE,
    'track': PAGER,
    'serve': PAGER,
}

LIBRARIES = {
    'liburing.h': 'liburing', 'lz4.h': 'lz4', 'lz4hc.h': 'lz4',
    'zstd.h': 'zstd', 'xxhash.h': 'xxhash', 'sys/sdt.h': 'sdt',
    'jansson.h': 'jansson', 'seccomp.h': 'seccomp',
    'microhttpd.h': 'microhttpd', 'nbdkit-plugin.h': 'nbdkit',
    'libnbd.h': 'libnbd', 'rados/librados.h': 'rados',
    'curl/curl.h': 'curl',
}

# what the C library, the kernel and the compiler have without a folder
LIBC = '''assert byteswap cpuid ctype dirent dlfcn elf endian err errno fcntl features
fnmatch ftw getopt glob grp inttypes langinfo libgen limits link locale malloc
math netdb poll pthread pwd sched semaphore setjmp signal spawn stdalign
stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings
syscall syslog termios time ucontext unistd wchar wctype'''.split()
LIBC_FOLDERS = ('sys/', 'linux/', 'asm/', 'asm-generic/', 'arpa/', 'net/',
                'netinet/', 'sanitizer/')

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def layer_of(path):
    """The folder of the table that a path belongs to, or None."""
    folder = os.path.dirname(path)
    while folder:
        if folder in MAY:
            return folder
        if os.path.dirname(folder) == 'stores':
            return 'stores/*'
        folder = os.path.dirname(folder)
    return None


def is_libc(header):
    return (header.startswith(LIBC_FOLDERS) and header not in LIBRARIES or
            header.removesuffix('.h') in LIBC)


def resolve(path, header):
    """The file of ours that a quoted include means, or None."""
    for base in (os.path.dirname(path), '', 'lib', 'tool', 'tests'):
        found = os.path.normpath(os.path.join(base, header))
        if os.path.exists(os.path.join(ROOT, found)):
            return found
    return None


def fault_of_public(path, header):
    """May a public header include this one?"""
    own = os.path.basename(path).removesuffix('.h')
    if not header.startswith('uffd/'):
        return None if is_libc(header) else 'only the C library is allowed'
    if own not in HEADER_MAY:
        return 'this header is not in the table of the test'
    name = header[len('uffd/'):].removesuffix('.h')
    return None if name in HEADER_MAY[own] else 'it stands on that one'


def fault_of_angle(layer, header):
    public, _, libraries = MAY[layer]
    if header.startswith('uffd/'):
        name = header[len('uffd/'):].removesuffix('.h')
        return None if public == ALL or name in public else 'a layer above'
    if is_libc(header) or libraries == ALL:
        return None
    if LIBRARIES.get(header, header) in libraries:
        return None
    return 'not its library'


def fault_of_quoted(layer, path, header):
    target = resolve(path, header)
    if not target:
        return 'no such file'
    _, ours, _ = MAY[layer]
    if layer_of(target) == layer and os.path.dirname(layer) != 'stores':
        return None
    if os.path.dirname(target) == os.path.dirname(path):
        return None
    if ours == ALL or layer_of(target) in ours:
        return None
    # what stands in lib/ itself is for every layer in there
    if os.path.dirname(target) == 'lib' and layer.startswith('lib/'):
        return None
    return 'not a layer below'


def fault(path, mark, header):
    """What is wrong with this include, or None."""
    if path.startswith('include/uffd/'):
        return fault_of_public(path, header)
    layer = layer_of(path)
    if not layer:
        return 'its folder belongs to no layer'
    if mark == '<':
        return fault_of_angle(layer, header)
    return fault_of_quoted(layer, path, header)


def sources_use_only_what_is_below():
    """every #include names the file's own layer or one below it"""
    complaints = []
    seen = 0
    for path in tracked():
        if not path.endswith(('.c', '.h', '.cc', '.cpp')):
            continue
        for mark, header in INCLUDE.findall(read(path)):
            why = fault(path, mark, header)
            seen += 1
            if why:
                complaints.append(f'{path} includes {header}: {why}')
    want(seen > 100, f'only {seen} includes found')
    want_none(complaints)


def every_breach_is_found():
    """an #include across layers would be found"""
    breaches = [
        ('lib/kernel/x.c', '<', 'uffd/engine.h'),
        ('lib/kernel/x.c', '<', 'jansson.h'),
        ('lib/kernel/x.c', '<', 'sys/sdt.h'),
        ('lib/kernel/x.c', '"', '../../tool/parse.h'),
        ('lib/engine/x.c', '<', 'uffd/pager.h'),
        ('lib/store/x.c', '<', 'uffd/kernel.h'),
        ('lib/store/x.c', '"', '../kernel/sys.h'),
        ('lib/pager/x.c', '<', 'uffd/serve.h'),
        ('stores/nbd/x.c', '<', 'uffd/kernel.h'),
        ('stores/nbd/x.c', '"', '../../lib/kernel/sys.h'),
        ('tool/x.c', '"', '../lib/kernel/sys.h'),
        ('tool/x.c', '"', 'kernel/sys.h'),
        ('tool/x.c', '"', '../lib/public.h'),
        ('bench/x.c', '"', '../tool/say.h'),
        ('examples/x.c', '"', '../tool/say.h'),
        ('include/uffd/kernel.h', '<', 'uffd/engine.h'),
        ('include/uffd/kernel.h', '<', 'jansson.h'),
        ('elsewhere/x.c', '<', 'stdio.h'),
        ('tool/x.c', '"', 'no-such-file.h'),
    ]
    want_none([f'{path} may include {header}'
               for path, mark, header in breaches
               if not fault(path, mark, header)])


def what_is_allowed_passes():
    """what a layer may use is let through"""
    fine = [
        ('lib/kernel/x.c', '<', 'uffd/kernel.h'),
        ('lib/kernel/x.c', '<', 'linux/fs.h'),
        ('lib/kernel/x.c', '"', 'sys.h'),
        ('lib/engine/x.c', '"', '../kernel/sys.h'),
        ('lib/store/x.c', '"', '../public.h'),
        ('lib/pager/x.c', '<', 'xxhash.h'),
        ('stores/nbd/x.c', '<', 'libnbd.h'),
        ('tool/x.c', '"', 'bench/meson.build'),
        ('tool/x.c', '<', 'jansson.h'),
    ]
    complaints = [f'{path} {header}: {fault(path, mark, header)}'
                  for path, mark, header in fine if fault(path, mark, header)]
    want_none(complaints)


def public_headers_are_known():
    """every public header has its place among the layers"""
    names = [os.path.basename(path).removesuffix('.h')
             for path in tracked('include/uffd/')]
    want_none([f'uffd/{name}.h is not in the table' for name in names
               if name not in HEADER_MAY and name != 'meson.build'])


if __name__ == '__main__':
    sys.dont_write_bytecode = True
    keep_all(sources_use_only_what_is_below, every_breach_is_found,
             what_is_allowed_passes, public_headers_are_known)
