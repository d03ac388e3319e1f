/* A rover in C++: virtual classes with two bases, containers of the standard library, shared and unique ownership. new and delete
 * say what they do; what is lost is said. */
#include <list>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "fw_say.h"

void *operator new(std::size_t n) { return fw_take(n, "?"); }
void *operator new[](std::size_t n) { return fw_take(n, "?"); }
void operator delete(void *p) noexcept { fw_give(p); }
void operator delete[](void *p) noexcept { fw_give(p); }
void operator delete(void *p, std::size_t) noexcept { fw_give(p); }
void operator delete[](void *p, std::size_t) noexcept { fw_give(p); }

struct Ticks { virtual ~Ticks() {} virtual void tick() { n++; } unsigned n = 0; };
struct Reports { virtual ~Reports() {} virtual const char *text() const = 0; Reports *next = nullptr; };
struct Part { virtual ~Part() {} int id = 0; std::string label; };
struct Motor : Part, Ticks { int speed = 0; Motor *pair = nullptr; };
struct Lidar : Part, Reports { std::vector<short> scan; const char *text() const override { return "lidar"; } };
struct Wheel { float turns; Wheel *left, *right; };
struct Task { std::shared_ptr<Task> after; std::weak_ptr<Task> before; int prio; };

static std::vector<std::unique_ptr<Part>> parts;
static std::map<int, std::string> errors;
static std::list<Wheel> wheels;
static Reports *reports;                  /* leads into the middle of a Lidar */
static Ticks *ticking;
static std::vector<std::string> *journal;
static std::shared_ptr<Task> queue;

template <class T> static void type(const T *p, const char *name) { fw_tell("type", reinterpret_cast<uintptr_t>(p), 0, 1, name); }

static __attribute__((noinline)) void assemble()
{
    for (int i = 0; i < 6; i++) {
        if (i % 2) {
            Motor *m = new Motor;
            type(m, "Motor");
            m->id = i;
            m->label = i == 3 ? "rear left, with brake" : "m";
            if (i == 5)
                ticking = m;
            parts.emplace_back(m);
        } else {
            Lidar *l = new Lidar;
            type(l, "Lidar");
            for (short k = 0; k < 9 + i; k++)
                l->scan.push_back(k);
            l->next = reports;
            reports = l;
            parts.emplace_back(l);
        }
    }
    errors[404] = "no such waypoint on this map";
    errors[7] = "stall";
    errors[-1] = "battery voltage below the limit";
    for (int i = 0; i < 4; i++)
        wheels.push_back(Wheel{float(i), nullptr, nullptr});
    wheels.front().right = &wheels.back();
    journal = new std::vector<std::string>;
    journal->push_back("powered up after a watchdog reset");
    journal->push_back("ok");
    queue = std::make_shared<Task>();
    queue->after = std::make_shared<Task>();
    queue->after->before = queue;
}

static __attribute__((noinline)) void lose()
{
    Motor *a = new Motor, *b = new Motor; /* each other's pair, nobody else's */
    type(a, "Motor"), type(b, "Motor");
    a->pair = b;
    b->pair = a;
    LOST("cycle", a);
    LOST("cycle", b);
    auto *v = new std::vector<Wheel *>;
    for (int i = 0; i < 3; i++) {
        v->push_back(new Wheel{});
        type(v->back(), "Wheel");
        LOST("indirect", v->back());
    }
    LOST("indirect", v->data());
    LOST("direct", v);
    auto *s = new std::string("a line that is longer than the small buffer");
    LOST("indirect", s->data());
    LOST("direct", s);
}

/* The first part is replaced without being deleted: release() instead of reset(). */
static __attribute__((noinline)) void swap_part()
{
    Part *was = parts[3].release();
    LOST("direct", was);
    LOST("indirect", was->label.data());
    parts[3].reset(new Motor);
    type(parts[3].get(), "Motor");
    type(static_cast<Motor *>(was), "Motor");
}

extern "C" int main(void);
extern "C" void __libc_init_array(void);
extern "C" void _init(void);
extern "C" void _init(void) {}
void *__dso_handle;
int main()
{
    __libc_init_array();
    assemble();
    lose();
    swap_part();
    errors.erase(7);
    fw_rest();
    return 0;
}
