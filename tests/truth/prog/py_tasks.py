# 40 tasks that wait for each other, for futures, timers, queues, locks and generators; what the interpreter says of them as JSON. 3.7 on.
import asyncio, json, sys, threading, time, types


async def sleeps(n):
    await asyncio.sleep(1000 + n)


async def nested(depth, future):
    if depth:
        return await nested(depth - 1,
                            future)
    return await future


@types.coroutine
def by_generator(future):
    yield from future


async def through_generator(future):
    await by_generator(future)


class Awaitable:
    def __init__(self, c):
        self.c = c

    def __await__(self):
        return (yield from self.c.__await__())


async def through_object(future):
    await Awaitable(nested(2, future))


async def queue_reader(q):
    while True:
        item = await q.get()
        del item


async def with_lock(lock):
    async with lock:
        await asyncio.sleep(1)


async def ticks(future):
    for i in range(3):
        if i == 2:
            await nested(1, future)
        yield i


async def over_generator(future):
    async for tick in ticks(future):
        pass


async def gathers(future):
    await asyncio.gather(nested(1, future), sleeps(5))


async def ends():
    return 7


def chain(coro):
    rows, at = [], coro
    while at is not None:
        for p in ("cr", "gi", "ag"):
            if hasattr(at, p + "_code"):
                break
        else:
            break
        frame = getattr(at, p + "_frame")
        if frame is None:
            break
        rows.append({"function": frame.f_code.co_name, "file": frame.f_code.co_filename, "line": frame.f_lineno})
        at = getattr(at, p + {"cr": "_await", "gi": "_yieldfrom", "ag": "_await"}[p])
    return rows


def wrapped(at):
    """What the interpreter does not show from within: asend() objects and coroutine wrappers end the chain that it tells."""
    while at is not None:
        nxt = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None) or getattr(at, "ag_await", None)
        if nxt is None:
            return type(at).__name__ in ("async_generator_asend", "coroutine_wrapper")
        at = nxt


async def main():
    loop = asyncio.get_running_loop()
    future, q, lock = loop.create_future(), asyncio.Queue(), asyncio.Lock()
    await lock.acquire()
    coros = [ends(), ends()]
    for i in range(6):
        coros += [sleeps(i), nested(i, future), through_generator(future), with_lock(lock)]
    coros += [through_object(future), queue_reader(q), over_generator(future), gathers(future), gathers(future), queue_reader(q)]
    tasks = [asyncio.create_task(c) for c in coros]
    cancelled = asyncio.create_task(sleeps(99))
    await asyncio.sleep(0)
    cancelled.cancel()
    for _ in range(6):
        await asyncio.sleep(0)
    if hasattr(tasks[2], "set_name"):
        tasks[2].set_name("named")
    fresh = [asyncio.create_task(nested(3, future)) for _ in range(3)]
    rows = []
    for t in sorted(asyncio.all_tasks() | set(tasks) | {cancelled}, key=id):
        coro = t.get_coro() if hasattr(t, "get_coro") else t._coro
        rows.append({"addr": id(t), "name": t.get_name() if hasattr(t, "get_name") else None, "state": t._state.lower(),
                     "coro": coro.__qualname__, "awaits": chain(coro), "wrapped": wrapped(coro), "me": t is asyncio.current_task()})
    print(json.dumps({"tasks": rows}))
    print("ready")
    sys.stdout.flush()
    time.sleep(300)  # MAIN


if len(sys.argv) > 1:
    asyncio.Task = asyncio.tasks.Task = asyncio.tasks._PyTask
    import asyncio.base_events
asyncio.run(main())
