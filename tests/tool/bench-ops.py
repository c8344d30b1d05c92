#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench-ops.py UFFD: `uffd bench ops`, from the outside."""
import csv
import io
import json
import os
import subprocess
import sys

from promise import Skip, keep_all, read, run, want

UFFD = sys.argv[1]
OPS = ['copy', 'zeropage', 'move', 'continue', 'writeprotect', 'dontneed',
       'process_madvise', 'lift', 'punch', 'pagemap_scan']
MEMORY = ['private', 'memfd-shared', 'hugetlb-2m', 'thp']
POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB/'
QUICK = ['--rounds', '1', '--pages-per-call', '8']


def ops(*arguments, **options):
    options.setdefault('stderr', subprocess.PIPE)
    return run(UFFD, 'bench', 'ops', *arguments, **options)


def well(*arguments, **options):
    """It succeeds; its output."""
    ran = ops(*arguments, **options)
    want(ran.returncode == 0, arguments, ran.stdout, ran.stderr)
    return ran.stdout


def refused(words, *arguments, **options):
    """Exit status 1, one line on standard error with these words in it."""
    ran = ops(*arguments, **options)
    lines = (ran.stderr or '').split('\n')
    want(ran.returncode == 1, arguments, 'exit status', ran.returncode)
    want(len(lines) == 2 and not lines[1], arguments, 'not one line:', *lines)
    want(lines[0].startswith('uffd bench ops: '), lines[0])
    for word in words:
        want(word in lines[0], f'no "{word}" in:', lines[0])
    want(not ran.stdout, 'there is output:', ran.stdout)


def measured(*arguments, **options):
    return json.loads(well('--json', *arguments, **options))


def json_or_skip():
    if 'without JSON' in ops('--json', '--op', 'copy', *QUICK).stderr:
        raise Skip('built without jansson')


def processors():
    return len(os.sched_getaffinity(0))


def two_processors():
    if processors() < 2:
        raise Skip('two processors')


def default_run():
    """the default run has a figure for whatever is not said to be left out"""
    json_or_skip()
    two_processors()
    report = measured('--rounds', '1')
    want(list(report) == ['host', 'kernel', 'clock_ns', 'version',
                          'disturbed', 'rows', 'skipped'], list(report))
    want(report['kernel'] == os.uname().release, report['kernel'])
    want(0 < report['clock_ns'] < 10000, report['clock_ns'])
    rows = {(r['op'], r['memory'], r['pages_per_call'], r['busy'])
            for r in report['rows']}
    left_out = {(s['op'], s['memory']) for s in report['skipped']}
    want(len(rows) == len(report['rows']), 'a row is there twice')
    for op in OPS:
        for memory in MEMORY:
            for pages in 1, 8, 64, 512:
                for busy in 0, 1:
                    want((op, memory, pages, busy) in rows or
                         (op, memory) in left_out, op, memory, pages, busy)


def row_keys():
    """rows and what is left out have the keys of the manual, and no others"""
    json_or_skip()
    report = measured('--busy', '0', *QUICK)
    for row in report['rows']:
        want(list(row) == ['op', 'memory', 'pages_per_call', 'busy',
                           'ns_per_page'], row)
        want(row['ns_per_page'] > 0, row)
        want(row['op'] in OPS and row['memory'] in MEMORY, row)
    for skip in report['skipped']:
        want(list(skip) == ['op', 'memory', 'why'] and skip['why'], skip)


def all_private():
    """every operation that private or shared memory can take is measured"""
    json_or_skip()
    report = measured('--busy', '0', '--memory', 'private,memfd-shared',
                      *QUICK)
    rows = {(r['op'], r['memory']) for r in report['rows']}
    why = {(s['op'], s['memory']): s['why'] for s in report['skipped']}
    never = {('move', 'memfd-shared'), ('continue', 'private'),
             ('punch', 'private')}
    for op in OPS:
        for memory in 'private', 'memfd-shared':
            if (op, memory) not in never and (op, memory) not in rows:
                want("this kernel can't" in why[op, memory],
                     op, memory, why[op, memory])


def selection():
    """--op, --memory and --pages-per-call choose, each number once"""
    json_or_skip()
    report = measured('--op', 'lift,copy', '--memory', 'private',
                      '--pages-per-call', '3,1000,3', '--busy', '0',
                      '--rounds', '2')
    got = [(r['op'], r['memory'], r['pages_per_call'], r['busy'])
           for r in report['rows']]
    want(got == [('copy', 'private', 3, 0), ('copy', 'private', 1000, 0),
                 ('lift', 'private', 3, 0), ('lift', 'private', 1000, 0)], got)


def busy_zero():
    """--busy 0 measures with nothing else running only"""
    json_or_skip()
    rows = measured('--busy', '0', '--op', 'copy', *QUICK)['rows']
    want({r['busy'] for r in rows} == {0}, rows)


def busy_others():
    """--busy N measures beside 0 and beside N threads"""
    json_or_skip()
    two_processors()
    most = str(processors() - 1)
    rows = measured('--busy', most, '--op', 'copy', *QUICK)['rows']
    want({r['busy'] for r in rows} == {0, int(most)}, rows)


def one_processor():
    """on one processor there are no busy threads, and the table says so"""
    cpu = str(min(os.sched_getaffinity(0)))
    ran = run('taskset', '-c', cpu, UFFD, 'bench', 'ops', '--op', 'copy',
              '--memory', 'private', *QUICK)
    want(ran.returncode == 0 and 'busy threads: there is one processor' in
         ran.stdout, ran.stdout)
    ran = run('taskset', '-c', cpu, UFFD, 'bench', 'ops', '--busy', '1')
    want(ran.returncode == 1 and 'at most 0 here' in ran.stdout, ran.stdout)


def table_width():
    """the table fits into 80 columns, also with eight numbers of pages"""
    for pages in '1,8,64,512', '1,2,3,4,5,6,7,16384':
        text = well('--rounds', '1', '--pages-per-call', pages, '--op',
                    'copy,process_madvise,lift')
        for line in text.split('\n'):
            want(len(line) <= 80, f'{len(line)} columns:', line)
            want(line == line.rstrip(), 'it ends in blanks:', line)


def conclusions():
    """the two ratios that decide stand below the table"""
    two_processors()
    text = well('--rounds', '1', '--pages-per-call', '1,64', '--memory',
                'private')
    if "kernel can't" in text:
        raise Skip('MOVE and lifting')
    want('by MOVE is' in text and
         'Lifting 64 pages beside 1 busy thread is' in text, text)


def no_progress():
    """nothing is on standard error when that is not a terminal"""
    ran = ops('--op', 'copy', *QUICK)
    want(ran.stderr == '', ran.stderr)


def csv_columns():
    """--csv has the columns of the manual, and tells the rest elsewhere"""
    ran = ops('--csv', '--busy', '0', '--op', 'copy,move', '--memory',
              'private,memfd-shared', *QUICK)
    want(ran.returncode == 0, ran.stderr)
    rows = list(csv.reader(io.StringIO(ran.stdout)))
    want(rows[0] == ['op', 'memory', 'pages_per_call', 'busy', 'ns_per_page'],
         rows[0])
    want(rows[1][:4] == ['copy', 'private', '8', '0'] and
         float(rows[1][4]) > 0, rows[1])
    want('left out: memfd-shared (move)' in ran.stderr, ran.stderr)


def huge_pages():
    """free huge pages are measured, as far as they go"""
    json_or_skip()
    count = 4
    try:
        with open(POOL + 'nr_hugepages', encoding='ascii') as file:
            before = int(file.read())
        with open(POOL + 'nr_hugepages', 'w', encoding='ascii') as file:
            file.write(str(before + count))
    except OSError as why:
        raise Skip(f'reserving huge pages: {why.strerror}') from why
    try:
        with open(POOL + 'free_hugepages', encoding='ascii') as file:
            free = int(file.read())
        if free < count:
            raise Skip(f'{count} free huge pages of 2 MiB')
        report = measured('--memory', 'hugetlb-2m', '--rounds', '1',
                          '--pages-per-call', f'2,{free + 100}')
    finally:
        with open(POOL + 'nr_hugepages', encoding='ascii') as file:
            now = int(file.read())
        with open(POOL + 'nr_hugepages', 'w', encoding='ascii') as file:
            file.write(str(max(0, now - count)))
    rows = {(r['op'], r['pages_per_call']) for r in report['rows']}
    for op in ('copy', 'continue', 'writeprotect', 'dontneed',
               'process_madvise', 'punch', 'pagemap_scan'):
        whys = [s['why'] for s in report['skipped'] if s['op'] == op]
        want((op, 2) in rows or any("kernel can't" in w for w in whys) or
             any('not to be had' in w for w in whys), op, whys)
        want((op, free + 100) not in rows and whys, op, whys)


def transparent_huge_pages():
    """transparent huge pages are measured whole, not in parts"""
    json_or_skip()
    report = measured('--memory', 'thp', '--rounds', '1', '--busy', '0',
                      '--pages-per-call', '64,512')
    rows = report['rows']
    if not rows:
        raise Skip(report['skipped'][-1]['why'])
    want({r['pages_per_call'] for r in rows} == {512}, rows)
    want({s['op'] for s in report['skipped'] if 'split' in s['why']} >=
         {r['op'] for r in rows}, report['skipped'])


def as_nobody():
    """an account without rights can measure, too"""
    if os.geteuid() != 0:
        raise Skip('root, to become somebody else')
    as_them = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    if run(*as_them, UFFD, '--version').returncode != 0:
        raise Skip('a build folder that everybody may read')
    ran = run(*as_them, UFFD, 'bench', 'ops', '--op', 'copy,pagemap_scan',
              '--memory', 'private', *QUICK)
    want(ran.returncode == 0 and 'copy' in ran.stdout and
         'left out' not in ran.stdout, ran.stdout)


def bad_busy():
    """--busy refuses what is no number of threads, and more than there are"""
    for value in '4x', '-1', '', '1.5', '0x1':
        refused(['--busy', f"'{value}'", '0 to'], '--busy', value)
    refused(['--busy', '100000', 'at most'], '--busy', '100000')
    refused(['--busy', '99999999999999999999'], '--busy',
            '99999999999999999999')


def bad_pages():
    """--pages-per-call refuses what is no list of numbers of pages"""
    for value in '4x', '0', '', '1,', ',1', '1,,8', '16385', '-8', '1 8':
        refused(['--pages-per-call', '1 to 16384'], '--pages-per-call', value)
    refused(['at most 8'], '--pages-per-call', '1,2,3,4,5,6,7,8,9')


def bad_rounds():
    """--rounds refuses what is no number of rounds"""
    for value in '0', '1001', '5x', '', '-3':
        refused(['--rounds', f"'{value}'", '1 to 1000'], '--rounds', value)


def bad_op():
    """an unknown operation is named, and so are the known ones"""
    for value in 'cpoy', 'COPY', '', 'copy,', 'copy,poison', 'c' * 100:
        refused(['--op', 'is not known', *OPS], '--op', value)


def bad_memory():
    """an unknown kind of memory is named, and so are the known ones"""
    for value in 'hugetlb', '', 'private;thp':
        refused(['--memory', 'is not known', *MEMORY], '--memory', value)


def nonsense():
    """what no kernel can do is refused, with the reason"""
    refused(['move', 'memfd-shared', 'only private'], '--op', 'move',
            '--memory', 'memfd-shared')
    refused(['lift', 'hugetlb'], '--op', 'lift', '--memory', 'hugetlb-2m')


def bad_options():
    """unknown options, missing values and words too many are refused"""
    refused(['--bussy', 'no option'], '--bussy', '1')
    refused(['-x', 'no option'], '-x')
    refused(['--json=yes', 'takes no value'], '--json=yes')
    refused(['--busy', 'wants a value'], '--busy')
    refused(["'copy' is too much"], 'copy')
    refused(['--json', '--csv'], '--json', '--csv')


def full_disk():
    """output that can't be written is a failure, in every form"""
    for form in [], ['--csv'], ['--json'], ['--help']:
        with open('/dev/full', 'w', encoding='ascii') as full:
            refused(['standard output', 'No space left'], '--op', 'copy',
                    '--memory', 'private', '--busy', '0', *QUICK, *form,
                    stdout=full)


def file_limit():
    """a limit on the size of files ends the run with a reason"""
    ran = run('sh', '-c', 'ulimit -f 100; exec "$@"', 'sh', UFFD, 'bench', 'ops',
              '--op', 'copy', '--memory', 'memfd-shared', *QUICK)
    want(ran.returncode == 1 and ran.stdout.count('\n') == 1 and
         'File too large' in ran.stdout, ran.returncode, ran.stdout)


def closed_output():
    """a closed standard output is a failure"""
    ran = run('sh', '-c', 'exec "$@" >&-', 'sh', UFFD, 'bench', 'ops', '--op',
              'copy', '--memory', 'private', *QUICK)
    want(ran.returncode == 1 and ran.stdout.count('\n') == 1 and
         'standard output' in ran.stdout, ran.returncode, ran.stdout)


def help_and_manual():
    """--help and the manual page know every option, operation and memory"""
    text = well('--help')
    manual = read('man/uffd-bench-ops.1.scd')
    options = well('--long-options').split()
    want('--pages-per-call' in options and '--long-options' not in options,
         options)
    for word in options + OPS + MEMORY:
        want(word in text, f'--help does not know {word}')
        want(f'*{word}*' in manual, f'the manual does not know {word}')
    for line in text.split('\n'):
        want(len(line) <= 80, f'{len(line)} columns:', line)


keep_all(default_run, row_keys, all_private, selection, busy_zero, busy_others,
         one_processor, table_width, conclusions, no_progress, csv_columns,
         huge_pages, transparent_huge_pages, as_nobody, bad_busy, bad_pages,
         bad_rounds, bad_op, bad_memory, nonsense, bad_options, full_disk,
         file_limit, closed_output, help_and_manual)
