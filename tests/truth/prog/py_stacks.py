# Threads blocked in functions of every kind. What the interpreter itself says of their frames is printed as JSON. 2.7 and 3.x.
from __future__ import print_function
import functools, json, os, sys, threading, time

gate = threading.Lock()
gate.acquire()
tids = {}


def block():
    tids[threading.current_thread().ident] = int(os.readlink("/proc/thread-self").split("/")[2]) if os.path.exists("/proc/thread-self") else 0
    gate.acquire()


def recursion(n, rest):
    here = rest[1:]
    if not here:
        block()
        return n
    return (recursion(n + 1,
                      here) +
            1)


def in_lambda(word):
    f = lambda first, second=word: [first, block(), second]
    f(
        (word, word)
    )


def in_comprehension(count):
    table = {}
    rows = [block() for each in range(count) for other in (each,)
            if other == each]
    return rows, table


class Base(object):
    def work(self, depth, *rest, **named):
        local = (depth, rest)
        block()
        return local


class Method(Base):
    def work(self, depth, *rest, **named):
        try:
            with threading.Lock() as held:
                super(Method, self).work(depth, *rest, **named)
        finally:
            pass


def in_generator(limit):
    def numbers(upto):
        for i in range(upto):
            if i == 2:
                block()
            yield i
    total = 0
    for number in numbers(limit):
        total += number


def decorate(text):
    def outer(f):
        @functools.wraps(f)
        def inner(*args, **named):
            before = text
            result = f(*args, **named)
            return before, result
        return inner
    return outer


@decorate("label")
@decorate(u"second")
def decorated(a, b=2):
    c = a, b
    block()
    return c


def closures(x):
    y = [x]
    gone = 1
    unset = None

    def middle(z):
        w = x, z
        def innermost(v):
            nothing = unset
            block()
            return w, y, v, nothing
        return innermost(w)
    del gone
    if x is None:
        never = 1
    return middle(y)


def class_body(value):
    class Body(object):
        first = value
        second = [first]
        block()
    return Body


def sorts(values):
    def key(v):
        if v == 3:
            block()
        return -v
    return sorted(values, key=key)


def traced(a):
    def trace(frame, event, arg):
        return trace
    sys.settrace(trace)
    b = a
    stepping(b)


def stepping(b):
    c = b

    block()
    return c


# a line far below, and one that goes back: deltas beyond a byte




exec("def far(a):\n" + "\n" * 700 + " b = a\n" + "\n" * 300 + " block(\n\n\n\n *(\n ))\n return b\n")

threads = [threading.Thread(target=f, args=args) for f, args in [
    (recursion, (1, list(range(40)))), (in_lambda, ("word",)), (in_comprehension, (3,)), (Method().work, (1, 2, 3)), (in_generator, (9,)),
    (decorated, ([],)), (closures, ("x",)), (class_body, (7.5,)), (sorts, ([1, 2, 3, 4],)), (traced, (u"t",)), (far, (b"bytes",))]]  # noqa: F821


def truth(ident, frame):
    rows = []
    while frame:
        rows.append({"function": frame.f_code.co_name, "file": frame.f_code.co_filename, "line": frame.f_lineno,
                     "locals": None if frame.f_locals is frame.f_globals else dict((k, [id(v), type(v).__name__]) for k, v in frame.f_locals.items())})
        frame = frame.f_back
    return {"ident": ident, "tid": tids.get(ident), "frames": rows}


for t in threads:
    t.daemon = True
    t.start()
while len(tids) < len(threads):
    time.sleep(0.01)
time.sleep(0.2)
current = sys._current_frames()
said = [truth(t.ident, current[t.ident]) for t in threads]
del current
print(json.dumps({"threads": said, "main": threading.current_thread().ident, "pid": os.getpid()}))


def wait_here(argument):
    print("ready")
    sys.stdout.flush()
    time.sleep(300)  # MAIN


wait_here("argument")
