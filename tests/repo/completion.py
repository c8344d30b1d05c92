# SPDX-License-Identifier: MIT
"""completion.py UFFD: what bash offers, and what the manual tells of it."""
import os
import re
import shutil
import sys

from promise import ROOT, Skip, keep_all, read, run, run_well, want, want_none

UFFD = os.path.abspath(sys.argv[1])

OFFER = '''
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_uffd
printf '%s\\n' "${COMPREPLY[@]}"
'''


def offered(*words):
    """What a tab after these words offers; the last may be a beginning."""
    if not shutil.which('bash'):
        raise Skip('no bash')
    return run_well('bash', '-c', OFFER, 'bash',
                    os.path.join(ROOT, 'completion', 'uffd'), UFFD,
                    *words).split()


def verbs():
    """Every verb, as the words that call it."""
    names = re.findall(r'^  ([a-z]+)  ', run_well(UFFD, '--help'), re.M)
    found = [[name] for name in names]
    if ['bench'] in found:
        found += [['bench', 'ops'], ['bench', 'paging']]
    return found


def options():
    """[(verb, its long options)], of the verbs that tell them."""
    found = []
    for verb in verbs():
        ran = run(UFFD, *verb, '--long-options', stderr=-1)
        if ran.returncode == 0:
            found.append((verb, ran.stdout.split()))
    if not found:
        raise Skip('this build has no verb that tells its options')
    return found


def verbs_are_offered():
    """every verb is offered, and --help and --version"""
    got = offered('')
    want_none([f'{verb[0]} is not offered: {got}' for verb in verbs()
               if verb[0] not in got])
    want('--help' in got and '--version' in got, got)
    want(offered('--ver') == ['--version'], offered('--ver'))


def options_are_offered():
    """every long option of every verb is offered"""
    bad = []
    for verb, names in options():
        got = offered(*verb, '--')
        bad += [f'{" ".join(verb)}: {name} is not offered'
                for name in names if name not in got]
        bad += [f'{" ".join(verb)}: {name}: not --something'
                for name in names if not re.fullmatch(r'--[a-z-]+', name)]
    want_none(bad)


def options_are_in_the_manual():
    """every long option of every verb is in its manual page"""
    bad = []
    for verb, names in options():
        page = f'man/uffd-{"-".join(verb)}.1.scd'
        if not os.path.exists(os.path.join(ROOT, page)):
            bad.append(f'there is no {page}')
            continue
        text = read(page).replace('\\', '')
        bad += [f'{page}: no {name}' for name in names if not
                re.search(re.escape(name) + r'(?![\w-])', text)]
    want_none(bad)


def options_are_in_the_help():
    """every long option of every verb is in its --help"""
    bad = []
    for verb, names in options():
        text = run_well(UFFD, *verb, '--help')
        bad += [f'{" ".join(verb)}: no {name}' for name in names if not
                re.search(re.escape(name) + r'(?![\w-])', text)]
    want_none(bad)


def values_are_offered():
    """values are offered behind a space, an equals sign and a comma"""
    want('random' in offered('bench', '--order', ''), 'space')
    want(offered('bench', '--order', '=', 'ra') == ['random'], 'equals')
    want('random' in offered('bench', '--order', '='), 'only equals')
    want(offered('bench', '--modes', 'classic,ker') == ['classic,kernel'],
         'comma')
    want('lift' in offered('bench', 'ops', '--op', ''), 'bench ops')
    want('mixed' in offered('bench', 'paging', '--op', ''), 'bench paging')
    want(not offered('bench', '--pages', ''), 'a number')


def names_are_accepted():
    """every name offered for `info --can` is one that it knows"""
    if ['info'] not in verbs():
        raise Skip('this build has no `uffd info`')
    names = offered('info', '--can', '')
    want(len(names) > 10, names)
    want_none([f'{name}: exit status {status}' for name in names
               for status in [run(UFFD, 'info', '--can', name).returncode]
               if status not in (0, 2)])


if __name__ == '__main__':
    keep_all(verbs_are_offered, options_are_offered, options_are_in_the_manual,
             options_are_in_the_help, values_are_offered, names_are_accepted)
