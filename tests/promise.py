# SPDX-License-Identifier: MIT
"""A test program in Python is a list of promises, told in TAP.

A promise is a function: the first line of its docstring says what is
promised, and it ends quietly, raises Skip with what is missing, or raises
anything else, which breaks it.
"""
import os
import subprocess
import sys
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Skip(Exception):
    """What is missing to try it."""


class Broken(Exception):
    """What is not so."""


def want(good, *lines):
    if not good:
        raise Broken('\n'.join(str(line) for line in lines))


def want_none(complaints):
    """No complaint, or all of them."""
    want(not complaints, *complaints)


def run(*command, **options):
    """Runs a program without input; its output is text, in one piece."""
    options.setdefault('stdin', subprocess.DEVNULL)
    options.setdefault('stdout', subprocess.PIPE)
    options.setdefault('stderr', subprocess.STDOUT)
    options.setdefault('timeout', 300)
    words = [str(word) for word in command]
    try:
        return subprocess.run(words, text=True, errors='replace', check=False,
                              **options)
    except subprocess.TimeoutExpired as late:
        raise Broken(f'{" ".join(words)} did not end within {late.timeout:.0f} '
                     f's') from late


def run_well(*command, **options):
    """The same, and it must succeed. Its output."""
    ran = run(*command, **options)
    want(ran.returncode == 0, ' '.join(str(word) for word in command),
         f'exit status {ran.returncode}', ran.stdout, ran.stderr or '')
    return ran.stdout


def tracked(*under):
    """The files of the source tree, relative to its root."""
    found = []
    for top, folders, names in os.walk(ROOT):
        folders[:] = sorted(f for f in folders
                            if f not in ('.git', '.cache', '__pycache__') and
                            not f.startswith('build'))
        for name in sorted(names):
            path = os.path.relpath(os.path.join(top, name), ROOT)
            if not under or path.startswith(under):
                found.append(path)
    return found


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def keep(promise):
    """None, or the lines that say how it was broken."""
    try:
        promise()
    except Broken as broken:
        return str(broken).split('\n')
    except Skip:
        raise
    except Exception:           # pylint: disable=broad-except
        return traceback.format_exc().split('\n')
    return None


def keep_all(*promises):
    print(f'1..{len(promises)}', flush=True)
    failed = False
    for number, promise in enumerate(promises, 1):
        text = promise.__doc__.strip().split('\n')[0].rstrip('.')
        try:
            complaint = keep(promise)
        except Skip as why:
            print(f'ok {number} - {text} # SKIP {why}', flush=True)
            continue
        for line in complaint or []:
            if line.strip():
                print(f'# {line}')
        failed = failed or complaint is not None
        print(f'{"not " if complaint is not None else ""}ok {number} - {text}',
              flush=True)
    sys.exit(failed)
