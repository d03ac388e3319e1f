// A C++ program that knows the type of each of its blocks: types TRUTH
//
// Every type of container and of ownership that people use, each object noted with the type the compiler itself gives it. A line of
// TRUTH is "ADDRESS HOW TYPE": at ADDRESS lies an object of TYPE (demangled typeid), and HOW says what the block around it is:
//   object   allocated by new T                       array   a buffer of T (vector, new T[], string: T = char)
//   rbnode listnode hashnode   the node of a map/set, list, unordered_* with an element T
//   inplace  the control block of make_shared<T>      buckets, map  arrays of pointers (unordered_*, deque)
// Nothing is told to the analyser: the roots are plain variables.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cxxabi.h>
#include <deque>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <typeinfo>
#include <unistd.h>
#include <unordered_map>
#include <variant>
#include <vector>

static FILE *truth;

static void note(const void *at, const char *how, const std::type_info &type)
{
    int status;
    char *name = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
    std::fprintf(truth, "%p %s %s\n", at, how, status ? type.name() : name);
    std::free(name);
}

template <class T> static const T *note(const T *at, const char *how)
{
    note(at, how, typeid(T));
    return at;
}

static void note(const std::string &s)
{
    if (s.data() < reinterpret_cast<const char *>(&s) || s.data() >= reinterpret_cast<const char *>(&s + 1))
        note(s.data(), "array", typeid(char));
}

namespace zoo {

struct Place {
    double x, y;
};

class Animal {
public:
    explicit Animal(std::string name) : name_(std::move(name)) {}
    virtual ~Animal() = default;
    virtual int legs() const = 0;
    const std::string &name() const { return name_; }

private:
    std::string name_;
};

class Swimmer {
public:
    virtual ~Swimmer() = default;
    virtual double depth() const { return 3; }
    double record = 0;
};

class Cat : public Animal {
public:
    using Animal::Animal;
    int legs() const override { return 4; }
    Place bed{1, 2};
};

class Otter : public Animal, public Swimmer { // second base: pointers to Swimmer are interior
public:
    using Animal::Animal;
    int legs() const override { return 4; }
    std::vector<Place> pools;
};

template <class T, unsigned N> struct Ring {
    T item[N];
    unsigned head = 0;
    Ring *next = nullptr;
};

struct Keeper {
    std::string name;
    std::vector<Animal *> favourites;
    std::unique_ptr<Place> home;
    Keeper *boss = nullptr;
    union {
        long badge;
        void *pass;
    };
};

struct Plain { // C style: intrusive list, flexible array
    Plain *next;
    unsigned count;
    unsigned flags : 3, more : 5;
    int value[];
};

struct Ticket {
    int number;
    std::optional<std::string> note;
    std::variant<int, std::string> price;
};

enum class Colour : unsigned char { red, green };

struct Zoo {
    std::map<std::string, std::shared_ptr<Animal>> animals;
    std::unordered_map<int, Ticket> tickets;
    std::vector<std::unique_ptr<Keeper>> keepers;
    std::list<Place> paths;
    std::set<unsigned long> chips;
    std::multimap<Colour, int> colours;
    std::deque<Ticket> queue;
    std::forward_list<int> log;
    std::vector<std::vector<int>> grid;
    std::vector<Swimmer *> swimmers;
    std::function<int(int)> counter;
    Ring<Place, 8> *ring = nullptr;
    Plain *plain = nullptr;
    std::weak_ptr<Animal> star;
};

} // namespace zoo

using namespace zoo;

static Zoo *the_zoo;
static std::unordered_map<std::string, std::vector<std::string>> index_of_words;
static const char *banner;

static std::string numbered(const char *text, unsigned i) { return text + std::to_string(i); }

static void animals()
{
    for (unsigned i = 0; i < 400; i++) {
        std::string key = numbered("the animal with the long key number ", i);
        if (i % 2) {
            auto o = std::make_shared<Otter>(numbered("otter of the northern river ", i));
            for (unsigned k = 0; k < 1 + i % 5; k++)
                o->pools.push_back({double(i), double(k)});
            note(o->pools.data(), "array");
            note(o.get(), "inplace");
            the_zoo->swimmers.push_back(o.get());
            the_zoo->animals[key] = o;
        } else {
            std::shared_ptr<Animal> c(new Cat(numbered("cat that sleeps under the stairs ", i)));
            note(static_cast<Cat *>(c.get()), "object");
            the_zoo->animals[key] = c;
        }
    }
    for (auto &pair : the_zoo->animals) {
        note(&pair, "rbnode");
        note(pair.first);
        note(pair.second->name());
    }
    note(the_zoo->swimmers.data(), "array");
    the_zoo->star = the_zoo->animals.begin()->second;
}

static void people()
{
    for (unsigned i = 0; i < 300; i++) {
        auto k = std::make_unique<Keeper>();
        k->name = numbered("a keeper whose name is rather long ", i);
        k->home.reset(new Place{double(i), 4});
        k->boss = i ? the_zoo->keepers[i / 2].get() : nullptr;
        for (auto it = the_zoo->animals.begin(); k->favourites.size() < 1 + i % 4; ++it)
            k->favourites.push_back(it->second.get());
        the_zoo->keepers.push_back(std::move(k));
    }
    for (auto &k : the_zoo->keepers) {
        note(k.get(), "object");
        note(k->home.get(), "object");
        note(k->favourites.data(), "array");
        note(k->name);
    }
    note(the_zoo->keepers.data(), "array");
    for (int i = 0; i < 700; i++) {
        Ticket t{i, {}, i};
        if (i % 3 == 0)
            t.note = numbered("a remark that does not fit into the string ", unsigned(i));
        if (i % 4 == 0)
            t.price = numbered("price on request, please ask at the desk ", unsigned(i));
        the_zoo->tickets.emplace(i * 17, t);
        the_zoo->queue.push_back(t);
    }
    for (auto &pair : the_zoo->tickets)
        note(&pair, "hashnode");
    for (auto &t : the_zoo->queue)
        note(&t, "array");
    for (auto *all : {&the_zoo->tickets})
        for (auto &[number, t] : *all) {
            if (t.note)
                note(*t.note);
            if (auto *s = std::get_if<std::string>(&t.price))
                note(*s);
        }
}

static void small_things()
{
    for (unsigned i = 0; i < 500; i++) {
        note(&the_zoo->paths.emplace_back(Place{1.5 * i, 2}), "listnode");
        note(&*the_zoo->chips.insert(i * 12345ul).first, "rbnode");
        note(&*the_zoo->colours.emplace(i % 2 ? Colour::red : Colour::green, int(i)), "rbnode");
        note(&the_zoo->log.emplace_front(int(i)), "fwdnode");
        the_zoo->grid.emplace_back(std::vector<int>(3 + i % 9, int(i)));
        note(the_zoo->grid.back().data(), "array");
    }
    note(the_zoo->grid.data(), "array");
    for (unsigned i = 0; i < 40; i++) {
        auto *r = new Ring<Place, 8>();
        r->next = the_zoo->ring ? the_zoo->ring->next : r;
        (the_zoo->ring ? the_zoo->ring->next : the_zoo->ring) = r;
        note(r, "object");
        auto *p = static_cast<Plain *>(std::calloc(1, sizeof(Plain) + i * sizeof(int)));
        p->count = i;
        p->next = the_zoo->plain;
        the_zoo->plain = p;
        note(p, "object");
    }
    int big[6] = {1, 2, 3, 4, 5, 6};
    the_zoo->counter = [big](int i) { return big[i % 6]; };
    for (unsigned i = 0; i < 200; i++)
        for (unsigned k = 0; k < 1 + i % 4; k++)
            index_of_words[numbered("word in the index of the guide ", i)].push_back(numbered("page of the printed visitors' guide ", k));
    for (auto &pair : index_of_words) {
        note(&pair, "hashnode");
        note(pair.first);
        note(pair.second.data(), "array");
        for (auto &s : pair.second)
            note(s);
    }
}

int main(int argc, char **argv)
{
    static char buffer[1 << 16];
    truth = argc == 2 ? std::fopen(argv[1], "w") : nullptr;
    if (!truth)
        return 2;
    std::setvbuf(truth, buffer, _IOFBF, sizeof buffer);
    the_zoo = new Zoo();
    note(the_zoo, "object");
    banner = strdup("Welcome to the zoo; please do not feed the keepers");
    note(banner, "array", typeid(char));
    animals();
    people();
    small_things();
    std::fclose(truth);
    if (std::getenv("LOSE"))
        the_zoo = nullptr; // leaked as a whole: no typed pointer leads there
    if (write(1, "ready\n", 6) == 6)
        pause();
}
