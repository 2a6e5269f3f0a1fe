"""``execute`` against the interpreter itself: every script is run both ways and must not differ."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from thalweg.trials.preimport import imports_of

EXECUTE = """
import sys
from thalweg.trials import execute
code = execute(sys.argv[1], sys.argv[2:])
sys.exit(code)
"""

SCRIPTS = {
    "finishes": "print('done')",
    "exits 0": "import sys; sys.exit(0)",
    "exits 3": "import sys; sys.exit(3)",
    "exits None": "import sys; print(1); sys.exit()",
    "exits -1": "import sys; sys.exit(-1)",
    "exits 256": "import sys; sys.exit(256)",
    "exits True": "import sys; sys.exit(True)",
    "exits with text": "import sys; sys.exit('no data here')",
    "exits with object": "import sys; sys.exit(['a', 1])",
    "exits by exit()": "exit(4)",
    "exits at once": "import os; os._exit(7)",
    "raises": "def f(x):\n    return 1 / x\nprint('before')\nf(0)",
    "raises from": """
        def f():
            try:
                {}['key']
            except KeyError as error:
                raise ValueError('no key') from error
        try:
            f()
        except ValueError:
            raise RuntimeError('during')
        """,
    "raises group": "raise ExceptionGroup('two', [ValueError(1), TypeError(2)])",
    "raises odd": "class Odd(BaseException): pass\nraise Odd('x')",
    "raises with notes": "e = ValueError('x')\ne.add_note('a note')\nraise e",
    "does not parse": "print('never')\nif True\n    pass",
    "is Latin-1": b"# -*- coding: latin-1 -*-\nprint('\xe9')",
    "is empty": "",
    "recurses": "def f(n):\n    return f(n + 1)\nf(0)",
    "recurses and counts": """
        depth = 0
        def f():
            global depth
            depth += 1
            f()
        try:
            f()
        except RecursionError as error:
            print(depth, error)
        """,
    "knows itself": """
        '''A docstring.'''
        import sys, __main__
        print(sorted(globals()), __name__, __file__, __spec__, __package__, __builtins__)
        print(__doc__, __annotations__, __cached__, type(__loader__).__name__)
        print(sys.argv, sys.path, sys.modules['__main__'] is __main__, __main__.sys is sys)
        print(sys.flags, sys.warnoptions)
        """,
    "annotates": "from __future__ import annotations\nx: int = 1\nprint(__annotations__)",
    "parses arguments": """
        import argparse
        parser = argparse.ArgumentParser()
        parser.add_argument('first')
        parser.add_argument('--rate', type=float)
        print(parser.parse_args())
        """,
    "asks for wrong arguments": "import argparse; argparse.ArgumentParser().parse_args()",
    "imports beside": "import beside; from beside import value; print(value, beside.__name__)",
    "imports relatively": "from .beside import value",
    "imports nothing known": "import no_such_module_anywhere",
    "reads stdin": "print(input('name? '))",
    "reads past stdin": "input(); input()",
    "speaks Unicode": "print('∇ℒ → 0, ✓ é')",
    "warns": "import warnings\nwarnings.warn('careful')",
    "has exit handlers": """
        import atexit, sys
        atexit.register(print, 'first registered')
        @atexit.register
        def last(): print('last registered', file=sys.stderr); 1 / 0
        print('body')
        sys.exit(5)
        """,
    "has a thread": """
        import threading, time
        def work():
            time.sleep(0.2); print('thread done')
        threading.Thread(target=work).start()
        print('body done')
        """,
    "has a daemon thread": """
        import threading, time
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        print('body done')
        """,
    "has a failing thread": """
        import threading
        def work(): raise ValueError('in thread')
        thread = threading.Thread(target=work); thread.start(); thread.join()
        """,
    "has a pool": """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(2)
        print(list(pool.map(abs, [-1, 2])))
        pool.submit(print, 'late')
        """,
    "spawns": """
        import multiprocessing
        def double(x): return 2 * x
        if __name__ == '__main__':
            with multiprocessing.get_context('spawn').Pool(1) as pool:
                print(pool.map(double, [1, 2]))
        """,
    "pickles its class": """
        import pickle
        class Own: pass
        print(type(pickle.loads(pickle.dumps(Own()))) is Own, Own.__module__)
        """,
    "changes folder": "import os\nos.chdir('/')\nprint(os.getcwd(), __file__)\n1 / 0",
    "hooks exceptions": """
        import sys
        sys.excepthook = lambda kind, value, trace: print('hook:', kind.__name__, trace.tb_lineno)
        1 / 0
        """,
    "hooks exceptions badly": """
        import sys
        def hook(kind, value, trace): raise ValueError('bad hook')
        sys.excepthook = hook
        1 / 0
        """,
    "leaves a finalizer": """
        import weakref
        class Thing:
            def __del__(self): print('deleted')
        thing = Thing()
        weakref.finalize(thing, print, 'finalized')
        """,
    "prints much": "for i in range(20000): print(i, 'x' * 50)",
    "writes both": "import sys\nprint('a'); print('b', file=sys.stderr); print('c', end='')",
    "closes stdout": "import sys; sys.stdout.close()",
    "logs": "import logging; logging.warning('noted'); logging.basicConfig(); logging.error('bad')",
}


def _run(command, folder):
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=folder, input=b"Ada\n", capture_output=True, env=environment, timeout=60
    )
    return done.returncode, done.stdout, re.sub(rb"0x[0-9a-f]{8,}", b"ADDRESS", done.stderr)


def _write(folder, source):
    (folder / "beside.py").write_text("value = 42\n")
    script = folder / "train.py"
    if isinstance(source, bytes):
        script.write_bytes(source)
    else:
        script.write_text(textwrap.dedent(source))
    return script


@pytest.mark.parametrize("name", SCRIPTS)
def test_differs_in_nothing_from_python(name, tmp_path):
    _write(tmp_path, SCRIPTS[name])
    arguments = ["train.py", "one", "--rate", "0.5"]
    expected = _run([sys.executable, *arguments], tmp_path)
    assert _run([sys.executable, "-c", EXECUTE, *arguments], tmp_path) == expected


@pytest.mark.parametrize("path", ["./train.py", "../{here}/train.py", "{absolute}", "link.py"])
def test_goes_by_the_path_it_was_given(path, tmp_path):
    _write(tmp_path, SCRIPTS["knows itself"])
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "link.py").symlink_to(other / "real.py")
    _write(other, SCRIPTS["raises from"]).rename(other / "real.py")
    path = path.format(here=tmp_path.name, absolute=tmp_path / "train.py")
    expected = _run([sys.executable, path], tmp_path)
    assert _run([sys.executable, "-c", EXECUTE, path], tmp_path) == expected


@pytest.mark.parametrize("source", [b"x = 1\0", b"x = '\xff'"])
def test_what_cannot_be_decoded_is_a_syntax_error(source, tmp_path):
    _write(tmp_path, source)
    code, _, errors = _run([sys.executable, "-c", EXECUTE, "train.py"], tmp_path)
    assert code == 1
    assert errors.splitlines()[-1].startswith(b"SyntaxError: ")


@pytest.mark.parametrize("name", ["has exit handlers", "has a thread", "has a pool", "writes both"])
def test_all_has_happened_when_it_returns(name, tmp_path):
    """A caller may leave the process at once, as a trial does."""
    _write(tmp_path, SCRIPTS[name])
    leave_at_once = EXECUTE.replace("sys.exit(code)", "import os; os._exit(code)")
    expected = _run([sys.executable, "train.py"], tmp_path)
    assert _run([sys.executable, "-c", leave_at_once, "train.py"], tmp_path) == expected


def test_ctrl_c_is_130(tmp_path):
    _write(tmp_path, "raise KeyboardInterrupt")
    code, _, errors = _run([sys.executable, "-c", EXECUTE, "train.py"], tmp_path)
    assert code == 130
    assert errors == _run([sys.executable, "train.py"], tmp_path)[2]


def test_unreadable_script_is_the_callers_to_tell(tmp_path):
    code, _, errors = _run([sys.executable, "-c", EXECUTE, "missing.py"], tmp_path)
    assert code == 1
    assert b"FileNotFoundError" in errors


def test_imports_are_found_without_running(tmp_path):
    script = _write(
        tmp_path,
        """
        import os, torch.nn as nn
        from torch.utils.data import DataLoader
        import beside, no_such_module_anywhere, tensorflow
        from . import sibling
        try:
            import json
        except ImportError:
            json = None
        if __name__ == '__main__':
            import csv
        def late():
            import sqlite3
        raise SystemExit
        """,
    )
    found = imports_of(script)
    names = ["os", "torch.nn", "torch.utils.data", "json", "csv"]
    assert [module for module, _ in found] == names
    assert ("torch.utils.data", "DataLoader") in found


@pytest.mark.parametrize("shadow", ["json.py", "json/__init__.py"])
def test_a_module_beside_the_script_is_left_to_it(shadow, tmp_path):
    script = _write(tmp_path, "import json")
    assert imports_of(script)
    (tmp_path / shadow).parent.mkdir(exist_ok=True)
    (tmp_path / shadow).write_text("")
    assert not imports_of(script)


@pytest.mark.parametrize("source", ["if True", b"\xff\x00", "x = " + "(" * 5000])
def test_what_does_not_parse_imports_nothing(source, tmp_path):
    assert imports_of(_write(tmp_path, source)) == []
