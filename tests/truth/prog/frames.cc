// The same words as frames.c, from C++: methods, templates, lambdas, exceptions on the way, virtual calls, std:: callers.
#include <algorithm>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#define NOINLINE __attribute__((noinline))
volatile long opaque = 1, sink;
static std::mutex lock;
static int waiting;

NOINLINE static void say(const char *fmt, ...)
{
    std::lock_guard<std::mutex> hold(lock);
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    fflush(stdout);
}
NOINLINE static void block()
{
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    while (opaque)
        pause();
}
static long tid() { return gettid(); }

namespace shop {
struct item {
    std::string name;
    long price;
};
struct base {
    virtual ~base() {}
    virtual long visit(const item &it, long depth) = 0;
};
struct counter : base {
    long total = 5;
    NOINLINE long visit(const item &it, long depth) override
    {
        long sum = it.price + depth * opaque;
        say("kept %ld visit sum %ld\n", tid(), sum);
        say("kept %ld visit this %ld\n", tid(), (long)this);
        block();
        total += sum;
        return total;
    }
};
template <typename T, int N> struct box {
    T v[N];
    NOINLINE long each(base &b)
    {
        long seen = 0;
        std::for_each(v, v + N, [&](const item &it) {
            long before = seen + 1000 * opaque;
            say("kept %ld operator before %ld\n", tid(), before);
            seen += b.visit(it, before);
        });
        return seen;
    }
};
}  // namespace shop

NOINLINE static long throws(long n)
{
    if (n == 0)
        throw std::runtime_error("bottom");
    return throws(n - 1) + n;
}

static void in_box()
{
    shop::counter c;
    auto b = std::make_unique<shop::box<shop::item, 2>>();
    b->v[0] = {"first", 70};
    b->v[1] = {"second", 80};
    say("chain %ld block visit each in_box\n", tid());
    sink = b->each(c);
}

static void in_catch()
{
    std::map<std::string, long> found{{"a", 1}, {"b", 2}};
    try {
        throws(5 * opaque);
    } catch (const std::exception &e) {
        long caught = (long)found.size() * 111;
        say("kept %ld in_catch caught %ld\n", tid(), caught);
        say("chain %ld block in_catch\n", tid());
        block();
        sink = caught + (long)found["a"];
    }
}

static void in_function()
{
    std::function<long(long)> f = [](long x) {
        long y = x * 7 * opaque;
        say("kept %ld operator y %ld\n", tid(), y);
        say("chain %ld block in_function\n", tid());
        block();
        return y + sink;
    };
    sink = f(6);
}

int main()
{
    std::vector<std::thread> all;
    all.emplace_back(in_box);
    all.emplace_back(in_catch);
    all.emplace_back(in_function);
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 3)
        usleep(1000);
    say("chain %ld finish main\n", tid());
    []() __attribute__((noinline)) {}();
    struct local {
        static NOINLINE void finish()
        {
            say("ready\n");
            while (opaque)
                pause();
        }
    };
    local::finish();
    for (auto &t : all)
        t.join();
}
