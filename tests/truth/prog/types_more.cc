// The rarer shapes of C++ for the types' truth, each block noted with its type: types_more TRUTH
// (see types.cc for the lines; HOW "cookie" is new T[n] of a class with a destructor, "ptr" a control block of shared_ptr(new T))
#include <any>
#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <queue>
#include <stack>
#include <string>
#include <thread>
#include <typeinfo>
#include <unistd.h>
#include <unordered_set>
#include <vector>

static FILE *truth;
static void note(const void *at, const char *how, const std::type_info &type)
{
    int status;
    char *name = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
    std::fprintf(truth, "%p %s %s\n", at, how, status ? type.name() : name);
    std::free(name);
}
template <class T> static T *note(T *at, const char *how)
{
    note(static_cast<const void *>(at), how, typeid(T));
    return at;
}
static void note(const std::string &s)
{
    if (s.data() < reinterpret_cast<const char *>(&s) || s.data() >= reinterpret_cast<const char *>(&s + 1))
        note(s.data(), "array", typeid(char));
}

namespace app {

// Virtual inheritance: the shared base lies at the end, its pointers are found by the virtual table alone.
struct Resource {
    virtual ~Resource() = default;
    std::string *label = nullptr;
    Resource *sibling = nullptr;
};
struct Readable : virtual Resource {
    virtual int read() { return 1; }
    std::vector<char> buffer;
};
struct Writable : virtual Resource {
    virtual void write(int) {}
    std::vector<short> pending;
};
struct Socket : Readable, Writable {
    int fd = 3;
    std::unique_ptr<std::string> peer;
};

// No virtual functions: base pointers to derived blocks of another size.
struct Base {
    Base *next = nullptr;
    int kind = 0;
};
struct Small : Base {
    double d[2] = {1, 2};
};
struct Large : Base {
    std::string text;
    std::vector<int> numbers;
};

// Pimpl, with an implementation only this file knows.
class Engine {
public:
    Engine();
    Engine(Engine &&) = default;
    ~Engine();
    struct Impl;
    std::unique_ptr<Impl> impl_;
};
struct Engine::Impl {
    std::vector<std::string> parts;
    std::map<int, double> gauges;
    Engine *self = nullptr;
};
Engine::Engine() : impl_(new Impl) {}
Engine::~Engine() = default;

template <class K, class V> struct Cell {
    K key;
    V value;
    Cell<K, V> *left = nullptr, *right = nullptr;
};

struct Observer {
    virtual ~Observer() = default;
    virtual void fire() = 0;
};
struct Counter : Observer {
    void fire() override { n++; }
    long n = 0;
    std::weak_ptr<Observer> peer;
};
struct Named {
    std::string name = "a name that is too long for the object itself";
    ~Named() {}
};
struct Graph {
    std::vector<std::shared_ptr<Graph>> out;
    std::weak_ptr<Graph> back;
    std::any extra;
};

struct Functor { // a callable with a name; too large for std::function's own two words
    std::string prefix;
    std::vector<long> numbers;
    int operator()(int i) const { return i + int(numbers.size()); }
};
struct Extra { // held by std::any
    std::string what;
    double d[3] = {1, 2, 3};
};

struct World {
    std::vector<std::function<int(int)>> calls;
    std::vector<std::any> things;
    std::vector<Readable *> readers;
    std::vector<Writable *> writers;
    Base *chain = nullptr;
    std::vector<Engine> engines;
    Cell<int, std::string> *cells = nullptr;
    Cell<double, Large *> *others = nullptr;
    std::vector<std::shared_ptr<Observer>> observers;
    Named *fleet = nullptr;
    std::unique_ptr<int[]> ints;
    std::unique_ptr<Small[]> smalls;
    std::shared_ptr<Graph> graph;
    std::priority_queue<long> heap;
    std::stack<Small> stack;
    std::unordered_set<std::string> words;
    std::multimap<std::string, Small> multi;
    std::vector<bool> bits;
    std::vector<std::pair<int, std::string>> pairs;
    std::list<std::vector<int>> lists;
    std::vector<std::list<int>> rings;
    std::wstring wide;
    std::u32string wider;
};

} // namespace app

using namespace app;
static World world;

static void resources()
{
    Resource *last = nullptr;
    for (int i = 0; i < 100; i++) {
        auto *s = note(new Socket, "object");
        s->label = note(new std::string("the label of socket number " + std::to_string(i)), "object");
        note(*s->label);
        s->sibling = last;
        s->buffer.resize(40);
        s->pending.resize(30);
        note(s->buffer.data(), "array");
        note(s->pending.data(), "array");
        if (i % 2)
            s->peer.reset(note(new std::string("peer"), "object"));
        last = s;
        if (i % 3)
            world.readers.push_back(s);
        else
            world.writers.push_back(s);
    }
    note(world.readers.data(), "array");
    note(world.writers.data(), "array");
}

static void bases()
{
    for (int i = 0; i < 100; i++) {
        Base *b;
        if (i % 2) {
            b = note(new Small, "object");
        } else {
            auto *l = note(new Large, "object");
            l->text = "a text that does not fit into the string object " + std::to_string(i);
            note(l->text);
            l->numbers.assign(5, i);
            note(l->numbers.data(), "array");
            b = l;
        }
        b->next = world.chain;
        world.chain = b;
    }
    world.engines.resize(20);
    for (auto &e : world.engines) {
        note(e.impl_.get(), "object");
        e.impl_->self = &e;
        e.impl_->parts.assign(3, "a part of the engine with a very long name");
        note(e.impl_->parts.data(), "array");
        for (auto &p : e.impl_->parts)
            note(p);
        note(&*e.impl_->gauges.emplace(1, 2.0).first, "rbnode");
    }
    note(world.engines.data(), "array");
    for (int i = 0; i < 50; i++) {
        auto *c = note(new Cell<int, std::string>{i, "cell", world.cells, nullptr}, "object");
        world.cells = c;
        auto *d = note(new Cell<double, Large *>{1.0 * i, nullptr, world.others, nullptr}, "object");
        if (i % 5 == 0)
            d->value = note(new Large, "object");
        world.others = d;
    }
}

static void owners()
{
    std::shared_ptr<Observer> first;
    for (int i = 0; i < 60; i++) {
        auto c = std::make_shared<Counter>();
        note(c.get(), "inplace");
        c->peer = first;
        first = c;
        world.observers.push_back(c);
    }
    note(world.observers.data(), "array");
    world.fleet = new Named[25];
    note(world.fleet, "cookie");
    for (int i = 0; i < 25; i++)
        note(world.fleet[i].name);
    world.ints.reset(note(new int[33], "array"));
    for (int i = 0; i < 33; i++)
        world.ints[size_t(i)] = i;
    world.smalls.reset(note(new Small[9], "array"));
    world.graph = std::make_shared<Graph>();
    note(world.graph.get(), "inplace");
    for (int i = 0; i < 50; i++) {
        auto g = std::make_shared<Graph>();
        note(g.get(), "inplace");
        g->back = world.graph;
        world.graph->out.push_back(g);
    }
    note(world.graph->out.data(), "array");
}

static void held()
{
    for (int i = 0; i < 40; i++) {
        Functor f{"a prefix that needs a block of its own " + std::to_string(i), {1, 2, 3, long(i)}};
        world.calls.emplace_back(f);
        auto *g = note(world.calls.back().target<Functor>(), "object");
        note(g->prefix);
        note(g->numbers.data(), "array");
        // the closure's block has no name two compilers agree on; what it captures has
        auto big = std::make_shared<Counter>();
        note(big.get(), "inplace");
        std::vector<short> v(20, short(i));
        const short *data = v.data();
        world.calls.emplace_back([big, v = std::move(v)](int k) { return k + int(v.size()) + int(big->n); });
        note(data, "array");
        world.things.emplace_back(Extra{"what kind of thing this is, in many words", {}});
        auto *e = note(std::any_cast<Extra>(&world.things.back()), "object");
        note(e->what);
    }
    note(world.calls.data(), "array");
    note(world.things.data(), "array");
}

static void adapters()
{
    for (int i = 0; i < 200; i++) {
        world.heap.push(i * 7919 % 1000);
        world.stack.push(Small());
        note(&world.stack.top(), "array");
        world.bits.push_back(i % 3);
        note(&*world.multi.emplace("a key longer than the small string buffer", Small()), "rbnode");
        world.pairs.emplace_back(i, "a second that is longer than sixteen bytes");
        world.lists.emplace_back(size_t(i % 7 + 1), i);
        note(&world.lists.back(), "listnode");
        note(world.lists.back().data(), "array");
        world.rings.emplace_back();
        world.rings.back().push_back(i);
    }
    for (auto &r : world.rings)
        note(&r.front(), "listnode");
    note(world.rings.data(), "array");
    for (auto &p : world.pairs)
        note(p.second);
    note(world.pairs.data(), "array");
    for (auto &m : world.multi)
        note(m.first);
    for (int i = 0; i < 100; i++)
        note(&*world.words.insert("a word of the dictionary, number " + std::to_string(i)).first, "hashnode");
    for (auto &w : world.words)
        note(w);
    world.wide = L"wide characters that need a block";
    world.wider = U"wider characters that need a block";
    note(world.wide.data(), "array");
    note(world.wider.data(), "array");
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];
    truth = argc == 2 ? std::fopen(argv[1], "w") : nullptr;
    if (!truth)
        return 2;
    std::setvbuf(truth, buffer, _IOFBF, sizeof buffer);
    resources();
    bases();
    owners();
    adapters();
    held();
    std::fclose(truth);
    if (write(1, "ready\n", 6) == 6)
        pause();
}
