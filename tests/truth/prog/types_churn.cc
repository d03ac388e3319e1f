// Types in a heap full of stale bytes: blocks come from malloc with what others left in them, arrays have unused ends, frames
// have locals that are not set yet. types_churn TRUTH; lines as in types.cc.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <typeinfo>
#include <unistd.h>
#include <unordered_map>
#include <vector>

static FILE *truth;
static void note(const void *at, const char *how, const std::type_info &type)
{
    int status;
    char *name = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
    std::fprintf(truth, "%p %s %s\n", at, how, status ? type.name() : name);
    std::free(name);
}
template <class T> static void note(const T *at, const char *how) { note(static_cast<const void *>(at), how, typeid(T)); }
static void note(const std::string &s)
{
    if (s.data() < reinterpret_cast<const char *>(&s) || s.data() >= reinterpret_cast<const char *>(&s + 1))
        note(s.data(), "array", typeid(char));
}

struct Name { char *text; int length; };                              // 16: fits the smallest chunk
struct Row { Row *next; Name *name; double value; };                  // 24: the same
struct Order { long id; Row *rows; Name *who; Order *linked; int n; }; // 40
struct Customer { Name *name; Order **orders; int n, cap; Customer *friends[2]; }; // 40 + 8
struct Cart { Order *slots; int n, cap; };                            // realloc'ed array with an unused end
struct Wide { long numbers[9]; Row *last; };                          // 80

static std::vector<Customer *> customers;
static std::map<std::string, std::unique_ptr<Wide>> wides;
static std::unordered_map<int, std::list<std::string>> logs;
static Cart carts[40];
static std::mt19937 rng(3);

static unsigned below(unsigned n) { return unsigned(rng() % n); }
template <class T> static T *raw() { return static_cast<T *>(std::malloc(sizeof(T))); } // stale bytes inside

static Name *name(unsigned i)
{
    auto *n = raw<Name>();
    char text[64];
    n->length = std::snprintf(text, sizeof text, "%.*s%u", int(below(40)), "somebody with a name of several words ", i);
    n->text = strdup(text);
    return n;
}
static void drop(Name *n)
{
    if (n)
        std::free(n->text);
    std::free(n);
}

static void fill(Order *o, unsigned i, Order *linked)
{
    o->id = i;
    o->rows = nullptr;
    o->n = int(below(4));
    for (int k = 0; k < o->n; k++) {
        auto *r = raw<Row>();
        r->next = o->rows;
        r->name = below(2) ? name(i) : nullptr;
        r->value = k * 1.5;
        o->rows = r;
    }
    o->who = below(3) ? name(i) : nullptr;
    o->linked = linked;
}
static void empty(Order *o)
{
    for (Row *r = o->rows, *next; r; r = next) {
        next = r->next;
        drop(r->name);
        std::free(r);
    }
    drop(o->who);
}

static void customer(unsigned i)
{
    auto *c = raw<Customer>();
    c->name = name(i);
    c->cap = int(4 + below(12));
    c->n = int(below(unsigned(c->cap)));
    c->orders = static_cast<Order **>(std::malloc(size_t(c->cap) * sizeof *c->orders)); // the end stays as it is
    for (int k = 0; k < c->n; k++) {
        c->orders[k] = raw<Order>();
        fill(c->orders[k], i, k ? c->orders[k - 1] : nullptr);
    }
    for (auto &f : c->friends)
        f = customers.empty() ? nullptr : customers[below(unsigned(customers.size()))];
    customers.push_back(c);
}
static void remove(size_t at)
{
    Customer *c = customers[at];
    for (auto *o : customers)
        for (auto &f : o->friends)
            if (f == c)
                f = nullptr;
    for (int k = 0; k < c->n; k++) {
        empty(c->orders[k]);
        std::free(c->orders[k]);
    }
    std::free(c->orders);
    drop(c->name);
    std::free(c);
    customers.erase(customers.begin() + long(at));
}

static void step(unsigned i)
{
    if (customers.size() < 150 || below(2))
        customer(i);
    else
        remove(below(unsigned(customers.size())));
    Cart &c = carts[below(40)];
    if (c.n == c.cap) {
        c.cap = c.cap ? c.cap * 2 : 3;
        c.slots = static_cast<Order *>(std::realloc(c.slots, size_t(c.cap) * sizeof *c.slots));
    }
    fill(&c.slots[c.n++], i, nullptr);
    if (c.n > 20)
        while (c.n > 5)
            empty(&c.slots[--c.n]);
    auto &w = wides["the wide thing with number " + std::to_string(below(300))];
    if (below(3)) {
        w.reset(raw<Wide>());
        for (auto &x : w->numbers)
            x = long(i);
        w->last = nullptr;
    }
    auto &l = logs[int(below(100))];
    l.push_back("a line of the log that has a number: " + std::to_string(i));
    if (l.size() > 5)
        l.pop_front();
}

static void note_order(const Order *o)
{
    for (const Row *r = o->rows; r; r = r->next) {
        note(r, "object");
        if (r->name) {
            note(r->name, "object");
            note(r->name->text, "array", typeid(char));
        }
    }
    if (o->who)
        note(o->who, "object");
}

static void tell()
{
    for (auto *c : customers) {
        note(c, "object");
        note(c->name, "object");
        note(c->orders, "array", typeid(Order *));
        for (int k = 0; k < c->n; k++) {
            note(c->orders[k], "object");
            note_order(c->orders[k]);
        }
    }
    for (auto &c : carts)
        if (c.slots) {
            note(c.slots, "array", typeid(Order));
            for (int k = 0; k < c.n; k++)
                note_order(&c.slots[k]);
        }
    for (auto &w : wides) {
        note(&w, "rbnode");
        note(w.first);
        if (w.second)
            note(w.second.get(), "object");
    }
    for (auto &l : logs) {
        note(&l, "hashnode");
        for (auto &s : l.second) {
            note(&s, "listnode");
            note(s);
        }
    }
}

static int __attribute__((noinline)) stop(int depth)
{
    Row *unset_row;       // never set: whatever lay in the frame
    Customer *unset_customer;
    Wide *unset_wide[4];
    asm volatile("" : "=m"(unset_row), "=m"(unset_customer), "=m"(unset_wide));
    int r = depth ? stop(depth - 1) : write(1, "ready\n", 6) == 6 && pause();
    asm volatile("" : : "m"(unset_row), "m"(unset_customer), "m"(unset_wide));
    return r;
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];
    truth = argc == 2 ? std::fopen(argv[1], "w") : nullptr;
    if (!truth)
        return 2;
    std::setvbuf(truth, buffer, _IOFBF, sizeof buffer);
    for (unsigned i = 0; i < 20000; i++)
        step(i);
    tell();
    std::fflush(truth);
    return stop(8);
}
