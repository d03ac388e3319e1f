"""An ordinary program: half the standard library, some data, nothing wrong."""
import sys, time
try:
    import tracemalloc
    tracemalloc.start()  # its tables are large, and nobody's fault
except ImportError:
    pass
NAMES = """argparse array ast asyncio base64 bisect calendar cgi cmd code codecs collections concurrent.futures configparser contextlib copy csv
ctypes curses dataclasses datetime decimal difflib dis distutils doctest email.mime.text enum filecmp fileinput fnmatch fractions ftplib
functools getopt gettext glob gzip hashlib heapq html.parser http.client http.server imaplib inspect io ipaddress itertools json logging.config
lzma mailbox mimetypes mmap multiprocessing.pool netrc numbers operator optparse os pathlib pdb pickle pickletools pkgutil platform plistlib poplib
pprint profile pstats pydoc queue random re sched secrets select selectors shelve shlex shutil signal smtplib socket socketserver sqlite3 ssl
statistics string struct subprocess symtable sysconfig tabnanny tarfile tempfile textwrap threading timeit tokenize trace traceback tracemalloc
turtle types typing unittest.mock urllib.request uuid venv warnings wave weakref webbrowser xml.dom.minidom xml.etree.ElementTree xmlrpc.client
zipfile zoneinfo"""
for n in NAMES.split():
    try:
        __import__(n)
    except Exception:
        pass


class Item(object):
    def __init__(self, i):
        self.id, self.name, self.tags = i, "item %d" % i, ("t%d" % (i % 7),)


items = dict((i, Item(i)) for i in range(800))
lines = ["line %d of the text" % i for i in range(5000)]
index = set(lines)
try:
    1 / 0
except ZeroDivisionError as e:
    last = e
print("ready")
sys.stdout.flush()
time.sleep(300)
