# SPDX-License-Identifier: MIT
"""bench.py UFFD: `uffd bench`, its options, its outputs, and its refusals."""
import csv
import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from promise import Skip, keep_all, read, run, want, want_none

UFFD = os.path.abspath(sys.argv[1])
MODES = ['classic', 'thread', 'sigbus', 'kernel', 'sigsegv']
FIGURES = ['count', 'mean_ns', 'mean_all_ns', 'min_ns', 'p50_ns', 'p90_ns',
           'p99_ns', 'p999_ns', 'max_ns', 'pages_per_s', 'cpu_ns_per_fault',
           'ctx_switches_per_fault', 'vs_classic', 'vs_kernel']


def bench(*words, **options):
    """Standard output and error apart."""
    return run(UFFD, 'bench', *words, stderr=-1, **options)


def few(*words, **options):
    """A run over a few pages that must succeed. Its output."""
    ran = bench('--pages', '60', *words, **options)
    want(ran.returncode == 0 and not ran.stderr, words, ran)
    return ran.stdout


def shell(redirected, *words):
    command = shlex.join([UFFD, 'bench', '--pages', '50', *words])
    return run('/bin/sh', '-c', command + ' ' + redirected, stderr=-1)


def refusal(ran, *words):
    """One line that names the thing, status 1, no output. What is not so."""
    bad = []
    if ran.returncode != 1:
        bad.append(f'{ran.args[2:]}: exit status {ran.returncode}, not 1')
    if not re.fullmatch(r'uffd bench: [^\n]+\n', ran.stderr):
        bad.append(f'{ran.args[2:]}: not one line: {ran.stderr!r}')
    if ran.stdout:
        bad.append(f'{ran.args[2:]}: standard output: {ran.stdout!r}')
    return bad + [f'{word!r} is not in {ran.stderr!r}' for word in words
                  if word not in ran.stderr]


def rows_of(text):
    return {row['mode']: row for row in json.loads(text)['rows']}


def need_json():
    if 'without jansson' in bench('--json', '--pages', '0x').stderr or \
            'without jansson' in bench('--json', '--pages', '5').stderr:
        raise Skip('this build has no JSON')


# ---- what is shown -----------------------------------------------------------

def table_has_all_columns():
    """the table has each mode's figures, fits 80 columns, and concludes"""
    text = few()
    want_none([line for line in text.splitlines() if len(line) > 80])
    for word in ('count', 'mean', 'min', 'p50', 'p90', 'p99', 'p99.9', 'max',
                 'pages per', 'processor', 'switches', 'than classic',
                 "kernel's own", 'clock', 'Linux ' + os.uname().release):
        want(word in text, f'no {word!r} in', text)
    for mode in MODES:
        lines = [line.split() for line in text.splitlines()
                 if re.match(rf'{mode} +60 |{mode} +[\d,]+ +\d', line)]
        want(len(lines) == 2, mode, text)
        want(len(lines[0]) == 9 and len(lines[1]) == 6, lines)
        want(all(float(word.replace(',', '')) >= 0
                 for line in lines for word in line[1:]), lines)
    want('What follows here: `' in text, text)


def histogram_speaks_the_locale():
    """the histogram is plain ASCII unless the locale is UTF-8"""
    env = dict(os.environ, LC_ALL='C')
    want(few(env=env).isascii(), 'C')
    env['LC_ALL'] = 'C.UTF-8'
    want('\u2588' in few(env=env), 'C.UTF-8')


def on_a_terminal(env):
    """What a terminal would get."""
    master, slave = pty.openpty()
    with subprocess.Popen([UFFD, 'bench', '--pages', '20', '--modes',
                           'kernel'], stdin=subprocess.DEVNULL, stdout=slave,
                          stderr=slave, env=env) as process:
        os.close(slave)
        got = b''
        while True:
            try:
                piece = os.read(master, 4096)
            except OSError:
                break
            if not piece:
                break
            got += piece
    os.close(master)
    want(process.returncode == 0, got)
    return got.decode(errors='replace')


def colours_are_for_terminals():
    """colours on a terminal only, not with NO_COLOR, not on a dumb one"""
    env = {key: value for key, value in os.environ.items()
           if key != 'NO_COLOR'}
    want('\033' not in few(env=dict(env, TERM='xterm')), 'a pipe')
    want('\033[' in on_a_terminal(dict(env, TERM='xterm')), 'a terminal')
    want('\033' not in on_a_terminal(dict(env, TERM='xterm', NO_COLOR='1')),
         'NO_COLOR')
    want('\033' not in on_a_terminal(dict(env, TERM='dumb')), 'dumb')


def progress_is_for_terminals():
    """a progress bar on a terminal, and nothing in a file"""
    want('measuring [' in on_a_terminal(dict(os.environ)), 'a terminal')
    want(bench('--pages', '20', '--modes', 'kernel').stderr == '', 'a pipe')


def json_has_its_keys():
    """--json: an object with what was asked and a row for each mode"""
    need_json()
    got = json.loads(few('--json', '--order', 'strided:3', '--seed', '9'))
    for key, value in {'kernel': os.uname().release,
                       'host': os.uname().nodename, 'pages': 60, 'rounds': 5,
                       'memory': 'private', 'page_size':
                       os.sysconf('SC_PAGESIZE'), 'fault': 'missing',
                       'access': 'write', 'order': 'strided', 'stride': 3,
                       'batch': 1, 'threads': 1, 'handlers': 1, 'spin_us': 0,
                       'seed': 9, 'place': 'auto'}.items():
        want(got[key] == value, key, got[key], value)
    want(0 < got['clock_ns'] < 1e6 and got['version'], got)
    want([row['mode'] for row in got['rows']] == MODES, got['rows'])
    for row in got['rows']:
        want_none([key for key in FIGURES if key not in row])
        order = [row[f'{key}_ns'] for key in ('min', 'p50', 'p90', 'p99',
                                              'p999', 'max')]
        want(order == sorted(order) and order[0] > 0, row)
        want(row['count'] == 60, row)
    want(rows_of(few('--json', '--place', 'apart'))['thread']
         ['handler_place'] == 'apart', 'handler_place')


def ratios_are_as_documented():
    """vs_classic and vs_kernel are the means' ratios, null without the row"""
    need_json()
    rows = rows_of(few('--json'))
    for row in rows.values():
        for got, means in (
                (row['vs_classic'],
                 rows['classic']['mean_ns'] / row['mean_ns']),
                (row['vs_kernel'],
                 row['mean_ns'] / rows['kernel']['mean_ns'])):
            want(abs(got - means) < 1e-3 * means, row)
    row = rows_of(few('--json', '--modes', 'sigsegv'))['sigsegv']
    want(row['vs_classic'] is None and row['vs_kernel'] is None, row)


def csv_has_its_columns():
    """--csv: a line of names, then a line for each mode, nothing else"""
    text = few('--csv', '--modes', 'sigsegv,kernel')
    lines = list(csv.reader(io.StringIO(text)))
    want(lines[0] == ['mode'] + FIGURES, lines[0])
    want([line[0] for line in lines[1:]] == ['sigsegv', 'kernel'], lines)
    want(all(len(line) == len(lines[0]) for line in lines), lines)
    want(lines[1][-2] == '' and float(lines[1][-1]) > 0, lines[1])


def raw_has_a_line_for_each():
    """--raw: every latency of every mode, one a line, in the rows' order"""
    need_json()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'raw')
        rows = rows_of(few('--json', '--raw', path, '--modes',
                           'kernel,classic'))
        with open(path, encoding='ascii') as file:
            numbers = [int(line) for line in file]
        want(len(numbers) == 120, len(numbers))
        for mode, part in (('kernel', numbers[:60]),
                           ('classic', numbers[60:])):
            row = rows[mode]
            want(min(part) == row['min_ns'] and max(part) == row['max_ns'] and
                 abs(sum(part) / 60 - row['mean_all_ns']) < 1, row)
        want(os.listdir(folder) == ['raw'], os.listdir(folder))
        want(os.stat(path).st_mode & 0o777 == 0o666 & ~umask(), 'mode')


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def raw_replaces_and_follows():
    """--raw replaces a file whole, through a symbolic link, and feeds a pipe"""
    with tempfile.TemporaryDirectory() as folder:
        path, link = os.path.join(folder, 'raw'), os.path.join(folder, 'link')
        with open(path, 'w', encoding='ascii') as file:
            file.write('old\n' * 10000)
        os.symlink('raw', link)
        few('--modes', 'kernel', '--raw', link)
        with open(path, encoding='ascii') as file:
            want(len(file.readlines()) == 60, 'not replaced')
        want(os.path.islink(link), 'the link is gone')
        text = few('--modes', 'kernel', '--csv', '--raw', '/dev/stdout')
        want(len(text.splitlines()) == 62, text)


def plots_are_pictures():
    """--plot: an SVG or a PNG by its name, whatever the name"""
    if not shutil.which('gnuplot'):
        raise Skip('no gnuplot')
    with tempfile.TemporaryDirectory() as folder:
        for name, first in (('a "b\' \\c.svg', b'<?xml'),
                            ('x.png', b'\x89PNG')):
            path = os.path.join(folder, name)
            few('--plot', path)
            with open(path, 'rb') as file:
                content = file.read()
            want(content.startswith(first) and len(content) > 5000, name)
            os.unlink(path)
        want(os.listdir(folder) == [], os.listdir(folder))


def plots_need_gnuplot():
    """--plot without gnuplot: one line, before anything is measured"""
    with tempfile.TemporaryDirectory() as folder:
        env = dict(os.environ, PATH=folder)
        want_none(refusal(bench('--plot', os.path.join(folder, 'x.svg'),
                                env=env), 'gnuplot'))
        want(os.listdir(folder) == [], os.listdir(folder))


# ---- options ---------------------------------------------------------------

def options_are_taken():
    """every option changes what it names"""
    need_json()
    for words, key, value in (
            (('--memory', 'memfd-shared'), 'memory', 'memfd-shared'),
            (('--memory', 'memfd-private'), 'memory', 'memfd-private'),
            (('--memory', 'shared', '--fault', 'minor'), 'fault', 'minor'),
            (('--page-size', '4K'), 'page_size', 4096),
            (('--order', 'random'), 'order', 'random'),
            (('--order', 'strided'), 'stride', 16),
            (('--order', 'backward'), 'order', 'backward'),
            (('--access', 'read'), 'access', 'read'),
            (('--fault', 'wp'), 'fault', 'wp'),
            (('--batch', '16'), 'batch', 16),
            (('--threads', '3'), 'threads', 3),
            (('--handlers', '2'), 'handlers', 2),
            (('--place', 'same'), 'place', 'same'),
            (('--place', 'apart'), 'place', 'apart'),
            (('--place', 'none'), 'place', 'none'),
            (('--place', str(min(os.sched_getaffinity(0)))), 'place', 'cpus'),
            (('--spin', '20'), 'spin_us', 20),
            (('--rounds', '2'), 'rounds', 2),
            (('--seed', '77'), 'seed', 77)):
        got = json.loads(few('--json', *words))
        want(got[key] == value, words, got[key])
        want(len(got['rows']) == 5, words)


def few_pages_mean_few_rounds():
    """fewer pages than rounds: the rounds give way unless they were given"""
    need_json()
    want(json.loads(bench('--json', '--pages', '1').stdout)['rounds'] == 1)
    want_none(refusal(bench('--pages', '3', '--rounds', '4'), '3 pages',
                      '4 rounds'))


def huge_pages():
    """--page-size 2M measures huge pages, as many as are free"""
    need_json()
    base = '/sys/kernel/mm/hugepages/hugepages-2048kB/'
    if not os.path.exists(base):
        raise Skip('no huge pages of 2 MiB')

    def number(name):
        with open(base + name, encoding='ascii') as file:
            return int(file.read())

    def add(count):
        try:
            with open(base + 'nr_hugepages', 'r+', encoding='ascii') as file:
                file.write(str(number('nr_hugepages') + count))
        except OSError as why:
            raise Skip(f'huge pages can\'t be reserved: {why}') from why

    before = number('nr_hugepages')
    add(4)
    added = number('nr_hugepages') - before
    try:
        if added < 4:
            raise Skip('no 4 huge pages can be had')
        for fault in ('missing', 'minor', 'wp'):
            ran = bench('--json', '--page-size', '2M', '--pages', '4',
                        '--fault', fault)
            if 'are free' in ran.stderr:
                raise Skip('huge pages were taken by others')
            want(ran.returncode == 0, fault, ran)
            got = json.loads(ran.stdout)
            want(got['memory'] == 'hugetlb-2m' and
                 got['page_size'] == 2 << 20, got)
    finally:
        add(-added)


def bad_values_are_refused():
    """every bad value: one line with what is accepted, exit 1"""
    number, cases = 'a whole number', {
        '--pages': ('4x', '0', '-1', '', '1.5', '99999999999999999999',
                    '0x10', ' 5', '5 '),
        '--rounds': ('0', '1001', 'x'),
        '--threads': ('0', '257', 'two'),
        '--handlers': ('0', '257', ''),
        '--batch': ('0', '513', '8k'),
        '--spin': ('-1', '1000001', 'x'),
        '--seed': ('x', '-1'),
    }
    bad = []
    for option, values in cases.items():
        for value in values:
            bad += refusal(bench(option, value), option, f"'{value}'", number)
    for option, values, word in (
            ('--memory', ('x', '', 'file', 'PRIVATE'), 'memfd-shared'),
            ('--fault', ('x', '', 'missin'), 'minor'),
            ('--access', ('x', '', 'w'), 'write'),
            ('--order', ('x', '', 'random:2', 'strided:0', 'strided:',
                         'strided:x', 'sequentia'), 'backward'),
            ('--place', ('x', '', '0-', '1-0', '0,,1', '-1'), 'apart'),
            ('--modes', ('x', '', 'kernel,', ',kernel', 'kernel,kernel',
                         'kernel,foo'), 'sigbus'),
            ('--plot', ('x', '', 'x.pdf', '.svg'), '.svg'),
            ('--page-size', ('x', '', '4KB'), '2M')):
        for value in values:
            bad += refusal(bench(option, value), option, f"'{value}'", word)
    want_none(bad)


def impossible_things_are_refused():
    """what can't be measured together or here: one line, exit 1"""
    last = max(os.sched_getaffinity(0))
    bad = []
    for words, said in (
            (('--pages', '99999999999'), ('more than memory', 'MiB')),
            (('--place', '99999'), ('processor 99999', str(last))),
            (('--fault', 'minor'), ('--memory', 'memfd-shared')),
            (('--fault', 'wp', '--access', 'read'), ('--access read',)),
            (('--page-size', '8K'), ('--page-size', '2M')),
            (('--page-size', '2M', '--memory', 'shared'), ('hugetlb-2m',)),
            (('--page-size', '2M', '--pages', '999999'),
             ('huge pages', 'nr_hugepages')),
            (('--json', '--csv'), ('--json', '--csv')),
            (('--csv', '--json'), ('--json', '--csv')),
            (('--modes', 'sigsegv', '--order', 'random', '--rounds', '1',
              '--pages', '2000000'), ('sigsegv', 'vm.max_map_count')),
            (('--json=5',), ('--json',)),
            (('--pages',), ('--pages', 'value')),
            (('surplus',), ("'surplus'",))):
        bad += refusal(bench(*words), *said)
    want_none(bad)


def unwritable_files_are_refused_first():
    """a file that can't be written is refused before anything is measured"""
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        for option in ('--raw', '--plot'):
            for path in (folder + '/no/x.svg', '/proc/x.svg'):
                started = time.monotonic()
                ran = bench('--pages', '1000000', option, path)
                bad += refusal(ran, option, path)
                want(time.monotonic() - started < 30, 'it measured first')
        os.mkdir(folder + '/x.svg')
        bad += refusal(bench('--raw', folder + '/x.svg'), 'directory')
        want(os.listdir(folder) == ['x.svg'], os.listdir(folder))
    want_none(bad)


def lost_output_is_an_error():
    """a full disk and a closed standard output: one line, exit 1"""
    bad = []
    for form in ('--csv', '--json', '--modes=kernel'):
        for redirected in ('>/dev/full', '>&-'):
            bad += refusal(shell(redirected, form), 'standard output')
    ran = shell('', '--raw', '/dev/full', '--csv')
    want(ran.returncode == 1 and ran.stderr.count('\n') == 1 and
         '/dev/full' in ran.stderr, ran)
    want(os.path.exists('/dev/full') and not os.path.isfile('/dev/full'),
         '/dev/full is no device any more')
    want_none(bad)


def interrupted_it_leaves_nothing():
    """Ctrl-C ends it at once and leaves no file behind"""
    with tempfile.TemporaryDirectory() as folder:
        with subprocess.Popen([UFFD, 'bench', '--pages', '2000000', '--modes',
                               'classic', '--raw', folder + '/raw'],
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            want(process.wait(20) == -signal.SIGINT, process.returncode)
        want(os.listdir(folder) == [], os.listdir(folder))


def nothing_without_permission():
    """an account without rights measures what it may"""
    if os.geteuid() != 0 or not shutil.which('setpriv'):
        raise Skip('not root, or no setpriv: rights can\'t be given up')
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(UFFD, folder + '/uffd')
        library = os.path.join(os.path.dirname(UFFD), '../lib')
        ran = run('setpriv', '--reuid=65534', '--regid=65534',
                  '--clear-groups', '--inh-caps=-all', copy, 'bench',
                  '--pages', '20', '--csv', stderr=-1,
                  env=dict(os.environ, LD_LIBRARY_PATH=library))
        if 'shared libraries' in ran.stderr:
            raise Skip('that account can\'t read the library')
        want(ran.returncode == 0 and ran.stdout.count('\n') == 6, ran)


def options_are_in_help_and_manual():
    """--long-options, --help and the manual know the same options"""
    listed = set(bench('--long-options').stdout.split())
    told = set(re.findall(r'^  (?:-h, )?(--[a-z-]+)',
                          bench('--help').stdout, re.M))
    manual = set(re.findall(r'^(?:\*-h\*, )?\*(--[a-z-]+)\*',
                            read('man/uffd-bench.1.scd'), re.M))
    want(listed == told, listed ^ told)
    want(listed == manual, listed ^ manual)


if __name__ == '__main__':
    keep_all(table_has_all_columns, histogram_speaks_the_locale,
             colours_are_for_terminals, progress_is_for_terminals,
             json_has_its_keys, ratios_are_as_documented, csv_has_its_columns,
             raw_has_a_line_for_each, raw_replaces_and_follows,
             plots_are_pictures, plots_need_gnuplot, options_are_taken,
             few_pages_mean_few_rounds, huge_pages, bad_values_are_refused,
             impossible_things_are_refused, unwritable_files_are_refused_first,
             lost_output_is_an_error, interrupted_it_leaves_nothing,
             nothing_without_permission, options_are_in_help_and_manual)
