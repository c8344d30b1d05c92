# SPDX-License-Identifier: MIT
"""scripts/setup on machines that lack things.

Each case is a machine of its own: a folder that is all there is in PATH, with
the few commands that the script itself is made of, the tools that this machine
is said to have, and an apt-get that writes down what it was asked to do.
"""
import os
import shutil
import tempfile

from promise import ROOT, Skip, keep_all, run, want, want_none

OWN = '''bash cat dirname env grep head ls mktemp printf rm sed sh sort tail
tr'''.split()

# tool: what it is to say; the libraries are pkg-config's to find
TOOLS = {
    'cc': 'exit 0',
    'c++': 'exit 0',
    'meson': 'echo 1.0.1',
    'ninja': 'exit 0',
    'pkg-config': 'exit 0',
    'scdoc': 'exit 0',
    'gnuplot': 'exit 0',
    'git': 'exit 0',
}

APT = '''echo "$*" >>"$0.log"
case "$*" in
*update*) exit 0 ;;
*--assume-no*)
	echo "The following NEW packages will be installed:"
	echo "0 upgraded, 7 newly installed, 0 to remove and 0 not upgraded."
	echo "Need to get 12.3 MB of archives."
	echo "After this operation, 45.6 MB of additional disk space will be used."
	exit 1 ;;
*install*)
	for tool in $BRINGS; do
		printf '#!/bin/sh\\nexit 0\\n' >"${0%/*}/$tool"
		chmod +x "${0%/*}/$tool"
	done ;;
esac
exit 0'''

APT_WITHOUT_PACKAGES = '''echo "$*" >>"$0.log"
case "$*" in
*update*) exit 0 ;;
esac
echo "E: Unable to locate package scdoc"
exit 100'''


class Machine:
    """A PATH with this and without that."""

    def __init__(self, lacks=(), debian=True, root=True, apt=APT):
        self.folder = tempfile.TemporaryDirectory()
        self.bin = os.path.join(self.folder.name, 'bin')
        scripts = os.path.join(self.folder.name, 'scripts')
        os.mkdir(self.bin)
        os.mkdir(scripts)
        shutil.copy(os.path.join(ROOT, 'scripts', 'setup'), scripts)
        for name in OWN:
            found = shutil.which(name)
            if not found:
                raise Skip(f'no {name}')
            os.symlink(found, os.path.join(self.bin, name))
        for name, words in TOOLS.items():
            if name not in lacks:
                self.add(name, words)
        self.add('id', 'echo ' + ('0' if root else '1000'))
        if debian:
            self.add('apt-get', apt)
            self.add('dpkg', 'exit 0')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def add(self, name, words):
        path = os.path.join(self.bin, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(f'#!/bin/sh\n{words}\n')
        os.chmod(path, 0o755)

    def setup(self, *jobs, **environment):
        """Runs the script. What it said is in stdout, all of it."""
        return run(os.path.join(self.bin, 'bash'),
                   os.path.join(self.folder.name, 'scripts', 'setup'), *jobs,
                   env={'PATH': self.bin, 'TMPDIR': self.folder.name,
                        **environment})

    def asked(self):
        """What apt-get was asked for, a line each."""
        log = os.path.join(self.bin, 'apt-get.log')
        if not os.path.exists(log):
            return []
        with open(log, encoding='utf-8') as file:
            return file.read().splitlines()


def ends(ran, status, *words):
    want(ran.returncode == status, f'exit status {ran.returncode}', ran.stdout)
    want_none([f'{word!r} is not in: {ran.stdout}' for word in words
               if word not in ran.stdout])


def all_there():
    """with everything there it says nothing and asks apt nothing"""
    with Machine() as machine:
        for jobs in (['build'], ['bench'], ['check'], ['bench', 'plot']):
            ran = machine.setup(*jobs)
            ends(ran, 0)
            want(ran.stdout == '', ran.stdout)
        want(not machine.asked(), machine.asked())


def root_on_debian():
    """root on Debian: says what and how large first, then installs it"""
    with Machine(lacks=['meson', 'ninja', 'scdoc']) as machine:
        ran = machine.setup('bench', BRINGS='ninja scdoc')
        # meson is still not there: that is told, and no success
        ends(ran, 1, 'meson ninja-build scdoc', 'installing 7 packages',
             '12.3 MB to download', '45.6 MB on disk',
             'installed, but still not found: meson')
        want(any('-y' in line and 'meson ninja-build scdoc' in line
                 for line in machine.asked()), *machine.asked())
    with Machine(lacks=['ninja', 'scdoc']) as machine:
        ends(machine.setup('check', BRINGS='ninja scdoc'), 0,
             'make check needs what is not here yet: ninja-build scdoc')


def sizes_come_before_installing():
    """what will be installed is told before anything is installed"""
    with Machine(lacks=['ninja'], apt=APT.replace(
            'for tool in', 'echo INSTALLING >&2\n\tfor tool in')) as machine:
        ran = machine.setup('build', BRINGS='ninja')
        ends(ran, 0, '45.6 MB on disk')
        asked = machine.asked()
        want('--assume-no' in asked[0] and '-y' in asked[-1], *asked)


def not_root():
    """not root: names the packages and the command, and stops"""
    with Machine(lacks=['ninja', 'scdoc'], root=False) as machine:
        ends(machine.setup('bench'), 1,
             'apt-get install --no-install-recommends ninja-build scdoc',
             'only root', 'Ninja', 'INSTALL=no')
        want(not machine.asked(), machine.asked())


def not_debian():
    """not Debian: names the packages, says what each is, and stops"""
    with Machine(lacks=['cc', 'meson', 'scdoc'], debian=False) as machine:
        ends(machine.setup('check'), 1, 'gcc', 'a C compiler', 'meson',
             'Meson, 0.64 or newer', 'scdoc',
             'without it the manual pages are left out', 'package manager')


def old_meson():
    """a Meson older than 0.64 is a missing one"""
    with Machine(debian=False) as machine:
        machine.add('meson', 'echo 0.63.3')
        ends(machine.setup('build'), 1, 'Meson, 0.64 or newer')
        machine.add('meson', 'echo 0.64.0')
        ends(machine.setup('build'), 0)


def install_no_optional():
    """INSTALL=no without what is optional: says what is left out, goes on"""
    with Machine(lacks=['scdoc', 'gnuplot', 'c++', 'git']) as machine:
        ends(machine.setup('check', INSTALL='no'), 0,
             'scdoc is not there, the manual pages are left out',
             'gnuplot-nox is not there, --plot is left out',
             'g++ is not there, tests in C++ are skipped',
             'git is not there')
        want(not machine.asked(), machine.asked())


def install_no_required():
    """INSTALL=no without what nothing works without: names it and stops"""
    with Machine(lacks=['ninja', 'scdoc']) as machine:
        ends(machine.setup('bench', INSTALL='no'), 1, 'INSTALL=no',
             "can't be done without", 'ninja-build', 'Ninja')
        want(not machine.asked(), machine.asked())


def apt_fails():
    """packages that apt does not have: asks for new lists once, then says so"""
    with Machine(lacks=['scdoc'], apt=APT_WITHOUT_PACKAGES) as machine:
        ends(machine.setup('build'), 1, 'apt does not offer them',
             'Unable to locate package scdoc')
        want(sum('update' in line for line in machine.asked()) == 1,
             *machine.asked())
        want(not any('-y' in line for line in machine.asked()),
             *machine.asked())


def unknown_job():
    """an unknown job is refused"""
    with Machine() as machine:
        ends(machine.setup('frobnicate'), 1, "no job 'frobnicate'")


if __name__ == '__main__':
    keep_all(all_there, root_on_debian, sizes_come_before_installing, not_root,
             not_debian, old_meson, install_no_optional, install_no_required,
             apt_fails, unknown_job)
