# SPDX-License-Identifier: MIT
"""Those who count: scripts/check and .ci/run."""
import os
import re
import shutil
import tempfile
import types

from promise import ROOT, Skip, keep_all, read, run, want


def load():
    """scripts/check, which has no .py, as a module."""
    module = types.ModuleType('check')
    exec(compile(read('scripts/check'), 'scripts/check', 'exec'),
         module.__dict__)
    return module


CHECK = load()


def count(stdout, result='OK', code=0, stderr='', tap=True):
    """What one program with this output comes to, and why it failed."""
    counted = CHECK.Count()
    test = {'name': 'x', 'stdout': stdout, 'stderr': stderr,
            'result': result, 'returncode': code}
    (CHECK.count_tap if tap else CHECK.count_exit)(counted, 'x', test)
    return counted


def comes_to(counted, passed, failed, skipped):
    want(counted.words() ==
         f'{passed} passed, {failed} failed, {skipped} skipped',
         counted.words(), counted.failures, counted.skips)


def cases_are_counted():
    """every case counts, with its reason"""
    counted = count('1..4\nok 1 - a\nok 2 - b # SKIP no disk\n# why\n'
                    'not ok 3 - c\nok 4\n', 'ERROR', 1)
    comes_to(counted, 2, 1, 1)
    want(counted.failures == [('x', 'c', 'why')], counted.failures)
    want(counted.skips == {'no disk': 1}, counted.skips)


def plans_are_kept():
    """a program that ends before its plan has failed, whatever it returned"""
    comes_to(count('1..3\nok 1 - a\nok 2 - b\n'), 2, 1, 0)
    comes_to(count('1..3\nok 1 - a\n', 'ERROR', -11), 1, 1, 0)
    want('signal 11' in count('1..1\n', 'ERROR', -11).failures[0][2], 'signal')
    comes_to(count(''), 0, 1, 0)
    comes_to(count('ok 1 - a\n'), 1, 1, 0)
    comes_to(count('ok 1 - a\n1..1\n'), 1, 0, 0)
    comes_to(count('1..1\nok 1 - a\nok 2 - b\n'), 2, 1, 0)


def late_deaths_count():
    """a program that keeps its plan and dies then has failed"""
    comes_to(count('1..1\nok 1 - a\n', 'ERROR', -6, 'leak'), 1, 1, 0)
    comes_to(count('1..1\nok 1 - a\n', 'TIMEOUT', 0), 1, 1, 0)
    comes_to(count('1..2\nok 1 - a\nBail out! no disk\n', 'ERROR', 1), 1, 2, 0)


def whole_programs_are_skipped():
    """a plan of nothing is one skipped case, with its reason"""
    counted = count('1..0 # SKIP no such kernel\n', 'SKIP')
    comes_to(counted, 0, 0, 1)
    want(counted.skips == {'no such kernel': 1}, counted.skips)


def statuses_are_counted():
    """programs without TAP count by exit status 0, 77 and other"""
    comes_to(count('', tap=False), 1, 0, 0)
    comes_to(count('no gnuplot\n', 'SKIP', 77, tap=False), 0, 0, 1)
    comes_to(count('', 'FAIL', 3, tap=False), 0, 1, 0)


class Pipeline:
    """.ci/run in a folder of its own, with steps that only say something."""

    def __init__(self, setup='exit 0', make='exit 0', meson='exit 0',
                 check='echo "1 passed, 0 failed, 0 skipped"'):
        self.folder = tempfile.mkdtemp()
        os.makedirs(os.path.join(self.folder, '.ci'))
        shutil.copy(os.path.join(ROOT, '.ci', 'run'),
                    os.path.join(self.folder, '.ci'))
        for path, words in (('scripts/setup', setup), ('scripts/check', check),
                            ('bin/make', make), ('bin/meson', meson),
                            ('bin/ninja', 'exit 0')):
            full = os.path.join(self.folder, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as file:
                file.write(f'#!/bin/sh\n{words}\n')
            os.chmod(full, 0o755)

    def run(self):
        path = os.path.join(self.folder, 'bin') + ':' + os.environ['PATH']
        if not shutil.which('bash'):
            raise Skip('no bash')
        try:
            return run(os.path.join(self.folder, '.ci', 'run'),
                       env={**os.environ, 'PATH': path})
        finally:
            shutil.rmtree(self.folder)


def counts_of(ran):
    """The counts of its last line, which no other line may look like."""
    found = re.findall(r'^(\d+) passed, (\d+) failed, (\d+) skipped$',
                       ran.stdout, re.M)
    want(len(found) == 1, f'{len(found)} last lines', ran.stdout)
    want(re.search(r'\d+ skipped\n\Z', ran.stdout), ran.stdout)
    return tuple(int(number) for number in found[0])


def steps_are_summed():
    """.ci/run sums the steps, and only its last line is one of counts"""
    ran = Pipeline(make='echo "1 passed, 0 failed, 9 skipped"\n'
                        'echo "30 passed, 0 failed, 2 skipped"').run()
    passed, failed, skipped = counts_of(ran)
    want(passed >= 33 and failed == 0 and skipped == 2, ran.stdout)
    want(ran.returncode == 0, ran)


def failures_fail():
    """.ci/run fails when a case failed, and when a step died uncounted"""
    ran = Pipeline(make='echo "3 passed, 2 failed, 0 skipped"; exit 1').run()
    want(counts_of(ran)[1] == 2 and ran.returncode != 0, ran.stdout)
    ran = Pipeline(make='echo "3 passed, 0 failed, 0 skipped"; exit 1').run()
    want(counts_of(ran)[1] == 1 and ran.returncode != 0, ran.stdout)
    ran = Pipeline(meson='echo boom; exit 1').run()
    want(counts_of(ran)[1] >= 3 and ran.returncode != 0 and
         'boom' in ran.stdout, ran.stdout)
    ran = Pipeline(setup='exit 1').run()
    want(counts_of(ran) == (0, 1, 0) and ran.returncode != 0, ran.stdout)


if __name__ == '__main__':
    keep_all(cases_are_counted, plans_are_kept, late_deaths_count,
             whole_programs_are_skipped, statuses_are_counted,
             steps_are_summed, failures_fail)
