# SPDX-License-Identifier: MIT
"""The public headers, read: which functions they declare, and how."""
import os
import re

from promise import read, tracked

COMMENT = re.compile(r'/\*.*?\*/', re.S)
DIRECTIVE = re.compile(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*\n', re.M)
# declared for plug-ins, who define it
THEIRS = {'uffd_store_plugin'}

FUNCTION = re.compile(r'^(?!typedef\b)[\w \t\n*]*?\b(uffd_\w+)\s*\([^;{}]*\)$')


def headers():
    """Paths of the public headers."""
    return [path for path in tracked('include/uffd/') if path.endswith('.h')]


def statements(text):
    """What stands outside of braces, each up to its semicolon."""
    text = DIRECTIVE.sub('', COMMENT.sub(' ', text)).replace('extern "C" {', '')
    depth = 0
    statement = ''
    for char in text:
        if char == '{':
            depth += 1
        elif char == '}':
            depth = max(depth - 1, 0)
        elif char == ';' and depth == 0:
            yield ' '.join(statement.split())
            statement = ''
            continue
        if depth == 0 and char != '}':
            statement += char


def declared(path):
    """name: prototype on one line, of the functions in a header."""
    found = {}
    for statement in statements(read(path)):
        match = FUNCTION.match(statement)
        if match and not statement.startswith('static'):
            found[match.group(1)] = statement
    return found


def functions():
    """name: (header, prototype) of every public function."""
    return {name: (os.path.basename(path), prototype)
            for path in headers()
            for name, prototype in declared(path).items()}
