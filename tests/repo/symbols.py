# SPDX-License-Identifier: MIT
"""symbols.py LIBRARY: what libuffd.so shows to the world."""
import os
import re
import shutil
import sys

from contract import THEIRS, functions
from promise import Skip, keep_all, read, run_well, want, want_none

LIBRARY = sys.argv[1]

# what the sanitizers put in by themselves, in builds that have them
SANITIZER = re.compile(r'^(__asan|__ubsan|__tsan|__lsan|__sanitizer|lib[au]san'
                       r'|libubsan|libtsan)')


def tool(name, *words):
    if not shutil.which(name):
        raise Skip(f'no {name} (binutils)')
    return run_well(name, *words, stderr=None)


def exported():
    """name: version of every symbol that can be linked to."""
    found = {}
    for line in tool('nm', '-D', '--defined-only', LIBRARY).splitlines():
        kind, symbol = line.split()[-2:]
        name, _, version = symbol.partition('@')
        if kind != 'A' and not SANITIZER.match(name):
            found[name] = version.lstrip('@')
    return found


def nodes():
    """The version nodes of the map."""
    return re.findall(r'^(LIBUFFD_\S+) \{', read('lib/libuffd.map'), re.M)


def header_functions_are_there(header):
    got = exported()
    want_none([f'{name} is declared in {where} and not exported'
               for name, (where, _) in sorted(functions().items())
               if where == header and name not in got and
               name not in THEIRS])


def kernel_functions_are_there():
    """every function of uffd/kernel.h is exported"""
    want(len(functions()) > 50, f'only {len(functions())} declarations found')
    header_functions_are_there('kernel.h')


def all_functions_are_there():
    """every function of every public header is exported"""
    for header in sorted({where for where, _ in functions().values()}):
        header_functions_are_there(header)


def nothing_else_is_there():
    """nothing is exported that no public header declares"""
    known = functions()
    want_none([f'{name} is exported and no header declares it'
               for name in sorted(exported()) if name not in known])


def all_is_versioned():
    """every exported symbol is in a version node of the map"""
    want(nodes(), 'no version node in lib/libuffd.map')
    want_none([f'{name} has version {version or "none"}'
               for name, version in sorted(exported().items())
               if version not in nodes()])


def names_are_ours():
    """every exported name begins with uffd_"""
    want_none([name for name in sorted(exported())
               if not name.startswith('uffd_')])


def soname():
    """the library is called libuffd.so.0"""
    dynamic = tool('readelf', '-dW', LIBRARY)
    want('Library soname: [libuffd.so.0]' in dynamic, dynamic)
    want(os.path.basename(os.path.realpath(LIBRARY)).startswith(
        'libuffd.so.0.'), os.path.realpath(LIBRARY))


if __name__ == '__main__':
    keep_all(kernel_functions_are_there, all_functions_are_there,
             nothing_else_is_there, all_is_versioned, names_are_ours, soname)
