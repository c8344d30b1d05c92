# SPDX-License-Identifier: MIT
"""headers.py CC...: the public headers stand alone, in C and in C++."""
import os
import shutil
import sys
import tempfile

from contract import headers
from promise import ROOT, Skip, keep_all, run, want_none

CC = sys.argv[1:] or ['cc']
CXX = (os.environ.get('CXX') or 'c++').split()
STRICT = ['-Wall', '-Wextra', '-Wundef', '-Werror', '-pedantic',
          '-fsyntax-only', '-I', os.path.join(ROOT, 'include')]
# (C++ takes a struct and a function of one name, as in stat(2), for shadowing)
ONLY_C = ['-Wshadow', '-Wstrict-prototypes']


def complaints(compiler, standard, suffix, text):
    """Compiles a text for each header (named by %s). What went wrong."""
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for path in headers():
            name = 'uffd/' + os.path.basename(path)
            source = os.path.join(folder, 'alone' + suffix)
            with open(source, 'w', encoding='utf-8') as file:
                file.write(text.replace('%s', name))
            strict = STRICT + (ONLY_C if suffix == '.c' else [])
            ran = run(*compiler, '-std=' + standard, *strict, source)
            if ran.returncode:
                bad += [f'{name} under {standard}:', ran.stdout]
    return bad


ALONE = '#include <%s>\nint alone(void);\nint alone(void) { return 0; }\n'
TWICE = '#include <%s>\n' + ALONE


def alone_in_c99():
    """each header compiles alone as strict C99, without a warning"""
    want_none(complaints(CC, 'c99', '.c', ALONE))


def alone_in_c11():
    """each header compiles alone as strict C11, without a warning"""
    want_none(complaints(CC, 'c11', '.c', ALONE))


def alone_in_gnu():
    """each header compiles beside _GNU_SOURCE, without a warning"""
    want_none(complaints(CC, 'gnu11', '.c', '#define _GNU_SOURCE\n' + ALONE))


def twice():
    """each header may be included twice"""
    want_none(complaints(CC, 'c11', '.c', TWICE))


def alone_in_cxx():
    """each header compiles alone as strict C++11, without a warning"""
    if not shutil.which(CXX[0]):
        raise Skip('no C++ compiler (g++)')
    want_none(complaints(CXX, 'c++11', '.cc', ALONE))


def after_the_system_headers():
    """each header agrees with the system's own, whichever comes first"""
    system = ('#include <sys/types.h>\n#include <linux/fs.h>\n'
              '#include <linux/userfaultfd.h>\n')
    want_none(complaints(CC, 'gnu11', '.c', system + ALONE) +
              complaints(CC, 'gnu11', '.c', ALONE + system))


if __name__ == '__main__':
    keep_all(alone_in_c99, alone_in_c11, alone_in_gnu, twice, alone_in_cxx,
             after_the_system_headers)
