# SPDX-License-Identifier: MIT
"""main.py UFFD: the command itself, before any verb."""
import os
import re
import shlex
import sys

from promise import Skip, keep_all, read, run, want, want_none

UFFD = os.path.abspath(sys.argv[1])


def uffd(*words):
    """Standard output and error apart."""
    return run(UFFD, *words, stderr=-1)


def shell(redirected, *words):
    """The same with a redirection; only standard error is left to read."""
    command = shlex.join([UFFD, *words]) + ' ' + redirected
    return run('/bin/sh', '-c', command, stderr=-1)


def verbs():
    return re.findall(r'^  ([a-z]+)  ', uffd('--help').stdout, re.M)


def refusal(ran, *words):
    """One line that names the thing, and status 1. What is not so."""
    lines = ran.stderr.splitlines()
    bad = []
    if ran.returncode != 1:
        bad.append(f'exit status {ran.returncode}, not 1')
    if len(lines) != 1 or not ran.stderr.endswith('\n'):
        bad.append(f'{len(lines)} lines, not one: {ran.stderr!r}')
    if ran.stdout:
        bad.append(f'standard output: {ran.stdout!r}')
    bad += [f'{word!r} is not in {ran.stderr!r}' for word in words
            if word not in ran.stderr]
    return bad


def no_verb():
    """without a verb: one line that says so, exit 1"""
    want_none(refusal(uffd(), 'uffd: ', 'verb', '--help'))


def unknown_verb():
    """an unknown verb: one line that names it, exit 1"""
    for word in ('frobnicate', '', '--frobnicate', '-x', 'BENCH', 'help '):
        want_none(refusal(uffd(word), f"'{word}'", 'uffd --help'))


def help_is_told():
    """--help, -h and help: usage on standard output, exit 0"""
    told = {uffd(word).stdout for word in ('--help', '-h', 'help')}
    want(len(told) == 1, *told)
    ran = uffd('--help')
    want(ran.returncode == 0 and not ran.stderr, ran)
    want(ran.stdout.startswith('Usage: uffd VERB'), ran.stdout)
    want_none([line for line in ran.stdout.splitlines() if len(line) > 80])


def version_is_told():
    """--version and -V: the version of the build, exit 0"""
    version = re.search(r"^ *version: '([^']+)'", read('meson.build'),
                        re.M).group(1)
    for word in ('--version', '-V'):
        ran = uffd(word)
        want(ran.returncode == 0 and ran.stdout == f'uffd {version}\n', ran)


def lost_output_is_an_error():
    """a full disk or a closed standard output: one line, exit 1"""
    for redirected in ('>/dev/full', '>&-'):
        for word in ('--help', '--version'):
            want_none(refusal(shell(redirected, word),
                              'uffd: ', 'standard output'))


def closed_descriptors_stay_closed():
    """what is printed never ends up in a file that was opened meanwhile"""
    trace = shell('>&- 2>&- <&-', '--help')
    want(trace.returncode == 1, trace)
    kept = run('/bin/sh', '-c', shlex.join([UFFD, '--version']) + ' <&-',
               stderr=-1)
    want(kept.returncode == 0 and kept.stdout.startswith('uffd '), kept)


def lost_errors_are_survived():
    """a closed standard error changes no exit status"""
    want(shell('2>&-').returncode == 1, 'no verb')
    want(shell('2>&- </dev/null', '--version').returncode == 0, '--version')


def every_verb_or_skip():
    found = verbs()
    if not found:
        raise Skip('this build has no verbs')
    return found


def verbs_explain_themselves():
    """every verb has --help, of at most 80 columns, exit 0"""
    bad = []
    for verb in every_verb_or_skip():
        ran = uffd(verb, '--help')
        if ran.returncode or ran.stderr or f'uffd {verb}' not in ran.stdout:
            bad.append(f'{verb}: {ran}')
        bad += [f'{verb}: {line}' for line in ran.stdout.splitlines()
                if len(line) > 80]
    want_none(bad)


def verbs_refuse_what_they_do_not_know():
    """every verb refuses an unknown option in one line, exit 1"""
    bad = []
    for verb in every_verb_or_skip():
        for option in ('--frobnicate', '--frobnicate=1', '-Q'):
            bad += [f'{verb}: {line}'
                    for line in refusal(uffd(verb, option), f'uffd {verb}',
                                        option.split('=')[0].lstrip('-'))]
    want_none(bad)


def verbs_notice_lost_output():
    """every verb's --help into a full disk: one line, exit 1"""
    bad = []
    for verb in every_verb_or_skip():
        for redirected in ('>/dev/full', '>&-'):
            bad += [f'{verb}: {line}'
                    for line in refusal(shell(redirected, verb, '--help'))]
    want_none(bad)


if __name__ == '__main__':
    keep_all(no_verb, unknown_verb, help_is_told, version_is_told,
             lost_output_is_an_error, closed_descriptors_stay_closed,
             lost_errors_are_survived,
             verbs_explain_themselves, verbs_refuse_what_they_do_not_know,
             verbs_notice_lost_output)
