# SPDX-License-Identifier: MIT
"""`make install` from a copy of the tree, and a program against the result."""
import os
import re
import shlex
import shutil
import sys
import tempfile

from contract import headers
from pages import PAGES
from promise import ROOT, Skip, keep_all, read, run, run_well, tracked, want, \
    want_none

CC = sys.argv[1:] or ['cc']
CXX = shlex.split(os.environ.get('CXX') or 'c++')


class Installed:
    """The tree below DESTDIR, made once, and what was said meanwhile."""

    def __init__(self, folder):
        self.folder = folder
        self.source = os.path.join(folder, 'source')
        self.root = os.path.join(folder, 'root')
        for path in tracked():
            os.makedirs(os.path.join(self.source, os.path.dirname(path)),
                        exist_ok=True)
            shutil.copy2(os.path.join(ROOT, path),
                         os.path.join(self.source, path), follow_symlinks=False)
        env = {**os.environ, 'CC': ' '.join(CC)}
        # the tests are not installed, so they need not be built once more
        run_well('meson', 'setup', 'build', '-Dtests=false', cwd=self.source,
                 env=env)
        self.said = run_well('make', '-C', self.source, 'install',
                             f'DESTDIR={self.root}', 'PREFIX=/usr',
                             'INSTALL=no', timeout=500, env=env)
        self.pc = self.only('libuffd.pc')
        self.lib = os.path.join(self.root, os.path.dirname(
            self.only('libuffd.so.0')))

    def files(self):
        return sorted(os.path.relpath(os.path.join(top, name), self.root)
                      for top, _, names in os.walk(self.root)
                      for name in names)

    def only(self, name):
        found = [path for path in self.files()
                 if os.path.basename(path) == name]
        want(len(found) == 1, f'{name}: {found}', self.said)
        return found[0]

    def flags(self):
        """What pkg-config says, with everything below our root."""
        if not shutil.which('pkg-config'):
            raise Skip('no pkg-config')
        ours = os.path.join(self.root, os.path.dirname(self.pc))
        system = run_well('pkg-config', '--variable', 'pc_path',
                          'pkg-config').strip()
        env = {**os.environ, 'PKG_CONFIG_SYSROOT_DIR': self.root,
               'PKG_CONFIG_LIBDIR': f'{ours}:{system}',
               'PKG_CONFIG_ALLOW_SYSTEM_CFLAGS': '1',
               'PKG_CONFIG_ALLOW_SYSTEM_LIBS': '1'}
        env.pop('PKG_CONFIG_PATH', None)
        return shlex.split(run_well('pkg-config', '--cflags', '--libs',
                                    'libuffd', env=env))

    def run(self, *command):
        return run(*command, timeout=60,
                   env={**os.environ, 'LD_LIBRARY_PATH': self.lib})


def readme_program():
    """The program that the README shows."""
    for block in re.findall(r'^```c\n(.*?)^```', read('README.md'),
                            re.M | re.S):
        if 'int main(' in block:
            return block
    want(False, 'no program in README.md')
    return None


def compile_readme(installed, compiler, suffix):
    """Compiles and runs it; what it must say is in its own text."""
    source = os.path.join(installed.folder, 'readme' + suffix)
    with open(source, 'w', encoding='utf-8') as file:
        file.write(readme_program())
    run_well(*compiler, '-Wall', '-Wextra', '-Werror',
             '-Wno-missing-field-initializers', source, '-o', source + '.out',
             *installed.flags())
    if os.geteuid() != 0:
        raise Skip('not root, who may open a userfaultfd')
    ran = installed.run(source + '.out')
    said = re.search(r'snprintf\(.*"(.*)"\)', readme_program()).group(1)
    want(ran.returncode == 0 and ran.stdout == said + '\n',
         f'exit status {ran.returncode}', ran.stdout)


def promises(installed):
    """The promises, about one installed tree."""

    def files_are_there():
        """library, headers, pkg-config file, command and completion are there"""
        files = installed.files()
        need = ['usr/bin/uffd',
                'usr/share/bash-completion/completions/uffd']
        need += ['usr/include/uffd/' + os.path.basename(path)
                 for path in headers()]
        want_none([f'{path} is not there' for path in need
                   if path not in files])
        for name in ('libuffd.pc', 'libuffd.so', 'libuffd.so.0'):
            installed.only(name)

    def loader_finds_it():
        """the library is where the loader of this system looks"""
        multiarch = run(*CC, '-print-multiarch', stderr=-1)
        if multiarch.returncode or not multiarch.stdout.strip():
            raise Skip('a system with one folder for all libraries')
        want(installed.lib.endswith('/lib/' + multiarch.stdout.strip()),
             installed.lib)

    def nothing_else_is_there():
        """nothing of the tests, the fuzzers or the tree's own tools is there"""
        known = re.compile(
            r'usr/(bin/uffd|include/uffd/\w+\.h|lib/([\w-]+/)?'
            r'(libuffd\.so(\.[\d.]+)?|pkgconfig/libuffd\.pc)|'
            r'share/man/man[137]/(lib)?uffd[\w-]*\.[137]|'
            r'share/bash-completion/completions/uffd)')
        want_none([path for path in installed.files()
                   if not known.fullmatch(path)])

    def manual_is_there():
        """every function and every verb has a manual page to open"""
        if not shutil.which('scdoc'):
            raise Skip('no scdoc')
        base = os.path.join(installed.root, 'usr', 'share', 'man')
        names = [f'man{page.section}/{name}.{page.section}'
                 for page in PAGES for name in page.names()]
        want('man7/libuffd.7' in names and 'man3/uffd_move_all.3' in names,
             names)
        want_none([name for name in names
                   if not os.path.isfile(os.path.join(base, name))])

    def command_runs():
        """the installed command runs with the installed library"""
        ran = installed.run(os.path.join(installed.root, 'usr/bin/uffd'),
                            '--version')
        want(ran.returncode == 0 and ran.stdout.startswith('uffd '), ran)

    def nothing_points_back():
        """no installed file names the folder that it was built in"""
        bad = []
        for path in installed.files():
            full = os.path.join(installed.root, path)
            if os.path.islink(full):
                want(not os.readlink(full).startswith('/'), full)
                continue
            if 'uffd' in path and '.so' not in path and 'bin/' not in path:
                with open(full, 'rb') as file:
                    if installed.folder.encode() in file.read():
                        bad.append(path)
        want_none(bad)
        if shutil.which('readelf'):
            for path in ('usr/bin/uffd', os.path.relpath(
                    os.path.join(installed.lib, 'libuffd.so.0'),
                    installed.root)):
                dynamic = run_well('readelf', '-dW',
                                   os.path.join(installed.root, path))
                want('RUNPATH' not in dynamic and 'RPATH' not in dynamic,
                     path, dynamic)

    def c_program():
        """README's program compiles with pkg-config's flags in C, and runs"""
        compile_readme(installed, CC, '.c')

    def cxx_program():
        """README's program compiles with pkg-config's flags in C++, and runs"""
        if not shutil.which(CXX[0]):
            raise Skip('no C++ compiler (g++)')
        compile_readme(installed, CXX, '.cc')

    def program_is_short():
        """README's program is as short as it says"""
        lines = [line for line in readme_program().splitlines()
                 if line.strip() not in ('', '{', '}')]
        want(len(lines) <= 22, f'{len(lines)} lines')

    def other_prefix():
        """a build for one prefix can be installed for another"""
        installed.root += '-other'
        try:
            run_well('make', '-C', installed.source, 'install',
                     f'DESTDIR={installed.root}', 'PREFIX=/opt/uffd',
                     'INSTALL=no')
            pc = os.path.join(installed.root, installed.only('libuffd.pc'))
            with open(pc, encoding='utf-8') as file:
                want('prefix=/opt/uffd\n' in file.read(), pc)
        finally:
            installed.root = installed.root.removesuffix('-other')

    def bad_prefix():
        """a relative PREFIX is refused in one line"""
        ran = run('make', '-sC', installed.source, 'install', 'PREFIX=here',
                  'INSTALL=no')
        want(ran.returncode != 0 and
             "PREFIX must begin with /, and is 'here'" in ran.stdout, ran)

    def clean():
        """make clean removes what was built, and nothing else"""
        run_well('make', '-C', installed.source, 'clean')
        left = {os.path.relpath(os.path.join(top, name), installed.source)
                for top, _, names in os.walk(installed.source)
                for name in names}
        want_none(sorted(left ^ set(tracked())))

    return [files_are_there, loader_finds_it, nothing_else_is_there, manual_is_there,
            command_runs, nothing_points_back, c_program, cxx_program,
            program_is_short, other_prefix, bad_prefix, clean]


def main():
    if not shutil.which('make'):
        print('1..0 # SKIP no make')
        return
    with tempfile.TemporaryDirectory() as folder:
        keep_all(*promises(Installed(folder)))


if __name__ == '__main__':
    main()
