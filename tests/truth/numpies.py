"""Interpreters that have NumPy: Debian's, and what HR_NUMPY_PYTHONS names (a colon between them: NumPy 2, say, in a root of its own)."""
import os, subprocess

from test_py_objects import interpreters


def numpies():
    for p in list(interpreters()) + os.environ.get("HR_NUMPY_PYTHONS", "").split(":"):
        r = p and subprocess.run([p, "-c", "import numpy, sys; print('numpy', numpy.__version__, 'on', sys.version.split()[0])"], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        if r and r.returncode == 0:
            yield p, r.stdout.decode().strip()
