# SPDX-License-Identifier: MIT
"""bench-paging.py UFFD: what `uffd bench paging` promises."""
import glob
import json
import os
import signal
import subprocess
import sys
import time

from promise import Broken, Skip, keep_all, read

UFFD = os.path.abspath(sys.argv[1])
NOBODY = 65534

ROW = ['system', 'engine', 'store', 'pattern', 'op', 'threads', 'budget_pct',
       'ns_per_access', 'mb_per_s', 'accesses', 'faults', 'soft_faults',
       'read_bytes', 'written_bytes', 'resident_max_bytes', 'p50_ns', 'p99_ns',
       'max_ns', 'vs_swap_zram', 'vs_mmap', 'hit_rate', 'lru', 'clock', 'fifo']
ALL = ['version', 'host', 'kernel', 'size', 'budget', 'rounds', 'seconds',
       'seed', 'rows', 'left_out']
# small, and long enough to page
SMALL = ['--size', '8M', '--rounds', '2', '--accesses', '3000']
OURS = ['--system', 'libuffd', '--engine', 'sigbus', '--store', 'memory']
MIB = 1 << 20


def command(*arguments):
    return [UFFD, 'bench', 'paging', *arguments]


def run(*arguments, before=None, **how):
    """What the tool says: its exit status, standard output and error."""
    how = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, **how}
    end = subprocess.run(command(*arguments), text=True, check=False,
                         stdin=subprocess.DEVNULL, preexec_fn=before,
                         timeout=240, **how)
    return end.returncode, end.stdout, end.stderr


def same(got, want, what='it'):
    if got != want:
        raise Broken(f'{what} is {got!r}, not {want!r}')


def fails_with_one_line(*arguments, naming, **how):
    status, out, err = run(*arguments, **how)
    same(status, 1, 'exit status')
    same(out or '', '', 'standard output')
    same(err.count('\n'), 1, f'number of lines in {err!r}')
    if not err.startswith('uffd bench paging: ') or naming not in err:
        raise Broken(f'no {naming!r} in {err!r}')


def tells(*arguments, **how):
    """The output of a run that must go well."""
    status, out, err = run(*arguments, **how)
    same(err, '', 'standard error')
    same(status, 0, 'exit status')
    return out


def needs_json():
    status, _, err = run('--json', '--size', '1')
    if status == 1 and 'jansson' in err:
        raise Skip('built without jansson')


def tells_json(*arguments, **how):
    needs_json()
    return json.loads(tells('--json', *arguments, **how))


def needs_kernel_rows():
    """Limits and swap: for root, with zram and a memory controller."""
    if os.geteuid() != 0:
        raise Skip('not root')
    if not os.path.exists('/sys/class/zram-control/hot_add'):
        raise Skip('the kernel has no zram')
    result = tells_json('--system', 'swap-zram,mmap', *SMALL)
    for gap in result['left_out']:
        raise Skip(f'{gap["name"]}: {gap["why"]}')


def traces():
    """All that must not be there when nothing runs."""
    with open('/proc/swaps', encoding='ascii') as file:
        swaps = [line.split()[0] for line in file.readlines()[1:]]
    return sorted(swaps + glob.glob('/sys/block/zram*') +
                  glob.glob('/sys/fs/cgroup/*/uffd-bench-*') +
                  glob.glob('/sys/fs/cgroup/uffd-bench-*') +
                  glob.glob('/var/tmp/uffd-bench-*'))


def children_of(pid):
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as file:
        return [int(word) for word in file.read().split()]


def wait_until(what, true):
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise Broken(f'{what}: not within 30 seconds')


class Running:
    """A long run, caught when its contestants are at work."""

    def __init__(self, *arguments, nr):
        self.before = traces()
        self.tool = subprocess.Popen(
            command('--size', '8M', '--rounds', '1000', *arguments),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until('contestants', lambda: len(self.contestants()) == nr)

    def measuring(self):
        return children_of(self.tool.pid)

    def contestants(self):
        return [child for pid in self.measuring()
                for child in children_of(pid)]

    def is_clean(self):
        wait_until(f'{traces()} as before ({self.before})',
                   lambda: traces() == self.before)


# ---- the promises ---------------------------------------------------------


def json_members():
    """--json has the members that the manual tells"""
    result = tells_json(*OURS, *SMALL)
    same(list(result), ALL, 'members')
    same(result['size'], 8 * MIB, 'size')
    same(result['budget'], 8 * MIB // 5 // 4096 * 4096, 'budget')
    same(len(result['rows']), 1, 'number of rows')
    row = result['rows'][0]
    same(list(row), ROW, 'members of a row')
    same([row[name] for name in ROW[:7]],
         ['libuffd', 'sigbus', 'memory', 'random', 'write', 1, 20], 'the row')
    for name in ('ns_per_access', 'mb_per_s', 'faults', 'p50_ns', 'p99_ns',
                 'max_ns', 'read_bytes', 'written_bytes'):
        if not row[name] > 0:
            raise Broken(f'{name} is {row[name]}')
    same(row['accesses'], 6000, 'accesses')
    same([row[name] for name in ROW[18:]], [None] * 6, 'what is not asked for')


def all_or_why():
    """every system has a row, or there is a reason"""
    result = tells_json(*SMALL)
    names = ([f'libuffd {engine} {store}'
              for store in ('memory', 'memory-lz4', 'file')
              for engine in ('sigbus', 'thread')] +
             ['mmap', 'swap-zram', 'classic'])
    told = [row['system'] if row['system'] != 'libuffd' else
            f'libuffd {row["engine"]} {row["store"]}'
            for row in result['rows']]
    told += [gap['name'] for gap in result['left_out']]
    same(sorted(told), sorted(names), 'rows and what is left out')
    for gap in result['left_out']:
        same(gap['broken'], False, f'broken of {gap}')
        if not gap['why']:
            raise Broken(f'no reason for {gap}')


def every_case():
    """libuffd keeps every byte in every case"""
    result = tells_json(*OURS, '--size', '2M', '--rounds', '1', '--accesses',
                        '600', '--pattern', 'sequential,random,strided,hot',
                        '--op', 'read,write,mixed', '--threads', '1,3')
    cases = [(r['pattern'], r['op'], r['threads']) for r in result['rows']]
    same(len(set(cases)), 24, 'number of cases')
    same(len(cases), 24, 'number of rows')


def classic_every_case():
    """classic keeps every byte, too"""
    result = tells_json('--system', 'classic', '--size', '2M', '--rounds', '1',
                        '--accesses', '600', '--pattern', 'sequential,hot',
                        '--op', 'read,mixed', '--threads', '1,3')
    same(len(result['rows']), 8, 'number of rows')


def reading_writes_nothing():
    """who only reads writes nothing back"""
    result = tells_json('--system', 'libuffd,classic', '--op', 'read', *SMALL)
    same(len(result['rows']), 7, 'number of rows')
    for row in result['rows']:
        same(row['written_bytes'], 0, f'written by {row}')
        if not row['read_bytes'] > 0:
            raise Broken(f'nothing was read by {row}')


def budget_is_kept():
    """resident memory is watched, and stays within the budget and 16 MiB"""
    for row in tells_json('--system', 'libuffd,classic', '--size', '64M',
                          '--threads', '2', '--rounds', '1')['rows']:
        most = 64 * MIB // 5 + 16 * MIB
        if not 0 < row['resident_max_bytes'] <= most:
            raise Broken(f'{row["resident_max_bytes"]} resident by '
                                 f'{row["system"]}')


def hits():
    """--hits compares with LRU, CLOCK and FIFO"""
    row = tells_json(*OURS, *SMALL, '--hits', '--pattern', 'hot')['rows'][0]
    for name in ('hit_rate', 'lru', 'clock', 'fifo'):
        if not 0.3 < row[name] < 1:
            raise Broken(f'{name} is {row[name]}')
    if not row['lru'] > row['fifo']:
        raise Broken('LRU is not better than FIFO on a hot set')


def read_is_the_floor():
    """read(2) is there where it means something"""
    result = tells_json('--system', 'read,classic', '--pattern',
                        'sequential,random', '--op', 'read,write', *SMALL)
    cases = [(r['pattern'], r['op']) for r in result['rows']
             if r['system'] == 'read']
    same(cases, [('sequential', 'read')], 'cases of read')


def csv_agrees():
    """--csv has the same fields"""
    lines = tells('--csv', *OURS, *SMALL).splitlines()
    same(lines[0].split(','), ROW, 'names')
    same(len(lines), 2, 'number of lines')
    row = lines[1].split(',')
    same(len(row), len(ROW), 'number of values')
    same(row[:7], ['libuffd', 'sigbus', 'memory', 'random', 'write', '1',
                   '20'], 'values')


def text_fits():
    """text fits 80 columns and tells every part"""
    out = tells('--hits', '--threads', '1,2', *SMALL)
    for line in out.splitlines():
        if len(line) > 80 and 'left out' not in line:
            raise Broken(f'more than 80 columns: {line!r}')
    for word in ('sigbus memory-lz4', 'thread file', 'classic', 'LRU',
                 '2 threads', 'p99'):
        if word not in out:
            raise Broken(f'{word} is not told')


def kernel_rows():
    """swap to zram and mmap are short of memory, and leave nothing behind"""
    needs_kernel_rows()
    before = traces()
    result = tells_json('--system', 'swap-zram,mmap,libuffd', '--store', 'file',
                        '--engine', 'sigbus', *SMALL)
    rows = {row['system']: row for row in result['rows']}
    same(sorted(rows), ['libuffd', 'mmap', 'swap-zram'], 'systems')
    same(rows['mmap']['vs_mmap'], 1, 'mmap against itself')
    same(rows['swap-zram']['vs_swap_zram'], 1, 'zram against itself')
    if not rows['libuffd']['vs_mmap'] > 0:
        raise Broken('libuffd is not compared with mmap')
    if not rows['swap-zram']['store'].startswith('zram-'):
        raise Broken(f'the store is {rows["swap-zram"]["store"]}')
    for name in ('mmap', 'swap-zram'):
        if not rows[name]['faults'] > 0 or not rows[name]['read_bytes'] > 0:
            raise Broken(f'{name} was not short of memory')
    same(traces(), before, 'what is left')


def without_rights():
    """without rights they are left out, and how to get them is told"""
    if os.geteuid() != 0:
        raise Skip('not root')

    def become_nobody():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)

    try:
        run('--help', before=become_nobody)
    except PermissionError:
        raise Skip('the build folder is not readable for others') from None
    result = tells_json('--system', 'swap-zram,mmap', *SMALL,
                        before=become_nobody)
    same(result['rows'], [], 'rows')
    for gap in result['left_out']:
        if 'root' not in gap['why'] and 'no ' not in gap['why']:
            raise Broken(f'no remedy in {gap["why"]!r}')


def ended_by(number):
    needs_kernel_rows()
    run_ = Running('--system', 'swap-zram,mmap,classic', nr=3)
    if traces() == run_.before:
        raise Broken('nothing was set up')
    run_.tool.send_signal(number)
    out, err = run_.tool.communicate(timeout=60)
    run_.is_clean()
    same(out, '', 'standard output')
    if number == signal.SIGKILL:
        same(run_.tool.returncode, -number, 'exit status')
    else:
        same(run_.tool.returncode, 1, 'exit status')
        same(err.count('\n'), 1, f'number of lines in {err!r}')


def contestant_dies():
    """a system that dies is an error, and the others go on"""
    needs_json()
    tool = subprocess.Popen(
        command('--json', '--system', 'classic,libuffd', '--engine', 'thread',
                '--store', 'memory', '--size', '8M', '--rounds', '10',
                '--accesses', '20000'),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def contestants():
        return [child for pid in children_of(tool.pid)
                for child in children_of(pid)]

    wait_until('contestants', lambda: len(contestants()) == 2)
    os.kill(contestants()[-1], signal.SIGKILL)
    out, err = tool.communicate(timeout=120)
    same(tool.returncode, 1, 'exit status')
    same(err.count('\n'), 1, f'number of lines in {err!r}')
    result = json.loads(out)
    same(len(result['rows']), 1, 'number of rows')
    same(len(result['left_out']), 1, 'number of those left out')
    same(result['left_out'][0]['broken'], True, 'broken')
    if 'died' not in result['left_out'][0]['why']:
        raise Broken(result['left_out'][0]['why'])


def wrong_values():
    """a wrong value: one line, exit status 1"""
    fails_with_one_line('--size', '1x', naming="--size: '1x'")
    fails_with_one_line('--size', '4K', naming='--size')
    fails_with_one_line('--size', '1048577', naming='--size')
    fails_with_one_line('--size', '8T', naming='are available')
    fails_with_one_line('--budget-pct', '0', naming='--budget-pct')
    fails_with_one_line('--budget-pct', '101', naming='1 to 100')
    fails_with_one_line('--size', '1M', '--budget-pct', '1', naming='32K')
    fails_with_one_line('--threads', '0', naming='--threads')
    fails_with_one_line('--threads', '1,,2', naming="''")
    fails_with_one_line('--threads', '65', naming='64')
    fails_with_one_line('--threads', '1,2,3,4,5,6,7,8,9', naming='8')
    fails_with_one_line('--rounds', '0', naming='--rounds')
    fails_with_one_line('--rounds', '-1', naming='--rounds')
    fails_with_one_line('--accesses', '0', naming='--accesses')
    fails_with_one_line('--seconds', '1.5', naming='--seconds')
    fails_with_one_line('--seed', '0x1', naming='--seed')
    fails_with_one_line('--dir', '/nowhere', naming='/nowhere')
    for option, word in (('pattern', 'random'), ('op', 'write'),
                         ('system', 'swap-zram'), ('engine', 'sigbus'),
                         ('store', 'memory-lz4')):
        fails_with_one_line(f'--{option}', 'x', naming=word)
        fails_with_one_line(f'--{option}', '', naming=word)
        fails_with_one_line(f'--{option}', f'{word},', naming=word)
        fails_with_one_line(f'--{option}', naming=f'--{option}')


def wrong_options():
    """a wrong option: one line, exit status 1"""
    fails_with_one_line('--sise', '1M', naming='--sise')
    fails_with_one_line('-x', naming='-x')
    fails_with_one_line('--hits=1', naming='--hits=1')
    fails_with_one_line('everything', naming='everything')
    needs_json()
    fails_with_one_line('--json', '--csv', naming='exclude')


def help_is_complete():
    """--help lists every option and name"""
    out = tells('--help')
    same(tells('-h'), out, 'what -h says')
    for line in out.splitlines():
        if len(line) > 80:
            raise Broken(f'more than 80 columns: {line!r}')
    for name in (tells('--long-options').split() +
                 ['libuffd', 'mmap', 'swap-zram', 'classic', 'sequential',
                  'strided', 'hot', 'mixed', 'memory-lz4']):
        if name.lstrip('-') not in out:
            raise Broken(f'{name} is not in the help')


def manual_is_complete():
    """the manual lists every option and member"""
    manual = read('man/uffd-bench-paging.1.scd').replace('\\_', '_')
    for name in tells('--long-options').split():
        if f'*{name}*' not in manual:
            raise Broken(f'{name} is not in the manual')
    for name in ROW + ALL + ['classic', 'swap-zram', 'sequential', 'limbo']:
        if name not in manual:
            raise Broken(f'{name} is not in the manual')


def output_lost():
    """output that is lost: one line, exit status 1"""
    for arguments in ([*OURS, *SMALL], ['--help'], ['--long-options']):
        with open('/dev/full', 'w', encoding='ascii') as full:
            fails_with_one_line(*arguments, naming='', stdout=full)


def sigint_leaves_nothing():
    """Ctrl-C leaves nothing behind"""
    ended_by(signal.SIGINT)


def sigterm_leaves_nothing():
    """SIGTERM leaves nothing behind"""
    ended_by(signal.SIGTERM)


def sigkill_leaves_nothing():
    """SIGKILL leaves nothing behind"""
    ended_by(signal.SIGKILL)


if __name__ == '__main__':
    keep_all(json_members, all_or_why, every_case, classic_every_case,
             reading_writes_nothing, budget_is_kept, hits, read_is_the_floor,
             csv_agrees, text_fits, kernel_rows, without_rights,
             sigint_leaves_nothing, sigterm_leaves_nothing,
             sigkill_leaves_nothing, contestant_dies, wrong_values,
             wrong_options, help_is_complete, manual_is_complete, output_lost)
