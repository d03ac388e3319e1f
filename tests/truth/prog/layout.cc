/* layout.c for C++: see there. Also
 *   I|class|base|offset   P|class|name of template parameter|text   M|member|address|size
 *   V|class|address of an object|address of its polymorphic sub-object (after a crash the core has them) */
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>
#include <link.h>

extern char __executable_start;
namespace ns {
enum class Kind : unsigned char { One = 1, Two = 200 };
struct Plain { int a; char b; };
struct Base { virtual ~Base() {} long base_field = 1; };
struct Second { virtual void second() {} int second_field = 2; };
struct NoVirtual { int nv; };
class Derived : public NoVirtual, public Base, public Second {
public:
    int mine;
    Plain plain;
    static int shared;
    static constexpr int limit = 12;
    struct Inner { Derived *up; short s; } inner;
    void second() override { mine++; }
    int Plain::*data_pointer;
    void (Derived::*code_pointer)();
    Plain &ref; Plain &&rref;
    decltype(nullptr) null;
    unsigned bit1 : 1, bit5 : 5;
    bool flag; char16_t c16; char32_t c32; wchar_t wide;
    Derived(Plain &p) : ref(p), rref(static_cast<Plain &&>(p)) {}
};
int Derived::shared = 3;
struct VBase { virtual ~VBase() {} int v; };
struct Left : virtual VBase { int l; };
struct Right : virtual VBase { int r; };
struct Diamond : Left, Right { int d; void f() {} };
template <class T, int N> struct Array { T items[N]; struct Cell { T t; Array *owner; } cell; static T made; virtual ~Array() {} };
template <class T, int N> T Array<T, N>::made;
template <class T, Kind K> struct Kinded { T t; virtual ~Kinded() {} };
template <class... A> struct Pack : Plain { int n = sizeof...(A); virtual void f() {} };
namespace { struct Hidden { virtual void h() {} int x; } hidden; int hidden_int; }
namespace deep { inline namespace v2 { struct Far { double d; virtual ~Far() {} } far; } }
struct Incomplete;
union U { int i; double d; U() : i(0) {} };
}
using Alias = ns::Array<int, 3>;
template <class T> using Ptr = T *;
struct Empty {};
struct EmptyBase : Empty { int i; };
struct Tail { Tail() {} char c; int i; char d; };
struct Reuse : Tail { char e; };

ns::Plain g_plain;
ns::Derived g_derived(g_plain);
ns::Derived::Inner g_inner;
ns::Diamond g_diamond;
Alias g_array;
ns::Array<ns::Plain, 2> g_array2;
ns::Array<unsigned long, 7> g_array3;
ns::Array<const char *, 1> g_array4;
ns::Kinded<Alias, ns::Kind::Two> g_kinded;
ns::Pack<int, ns::Plain, std::string> g_pack;
ns::U g_u; ns::Kind g_kind; ns::Incomplete *g_inc; Ptr<ns::Plain> g_ptr; EmptyBase g_eb; Reuse g_reuse;
std::map<int, std::string> g_map;
std::vector<ns::Plain> g_vec;
std::string g_string;
std::shared_ptr<ns::Derived::Inner> g_shared;
thread_local ns::Plain t_plain;
static int *volatile g_null;

#define S(...) printf("S|%s|%zu\n", #__VA_ARGS__, sizeof(__VA_ARGS__))
#define O(t, f, p) printf("F|%s|%s|%zu|%zu\n", #t, #f, (size_t)((char *)&(p).f - (char *)&(p)), sizeof((p).f))
#define I(d, b, p) printf("I|%s|%s|%zu\n", #d, #b, (size_t)((char *)static_cast<b *>(&(p)) - (char *)&(p)))
#define G(v) printf("G|%s|%zu|%zu\n", #v, (size_t)((char *)&v - &__executable_start), sizeof v)
#define M(v) printf("M|%s|%zu|%zu\n", #v, (size_t)((char *)&v - &__executable_start), sizeof v)
#define V(c, obj, sub) printf("V|%s|%zu|%zu\n", c, (size_t)(obj), (size_t)(sub))

static int tls_block(struct dl_phdr_info *info, size_t, void *data)
{
    if (!*(void **)data)
        *(void **)data = info->dlpi_tls_data;
    return 0;
}

struct Counter { int operator()() { static long in_method; printf("L|Counter::operator()|in_method|%zu\n", (size_t)((char *)&in_method - &__executable_start)); return (int)++in_method; } };

int main(int argc, char **argv)
{
    struct Local : ns::Base { int x; };
    if (argc > 1 && !freopen(argv[1], "w", stdout)) /* and die at the end, leaving a core */
        return 1;
    S(ns::Plain); S(ns::Base); S(ns::Second); S(ns::Derived); S(ns::Derived::Inner); S(ns::Diamond); S(ns::VBase); S(ns::Left);
    S(ns::Array<int, 3>); S(Alias); S(ns::Array<int, 3>::Cell); S(ns::Array<ns::Plain, 2>);
    S(ns::U); S(ns::Kind); S(EmptyBase); S(Tail); S(Reuse); S(ns::deep::v2::Far); S(std::string);
    O(ns::Derived, mine, g_derived); O(ns::Derived, plain, g_derived); O(ns::Derived, plain.b, g_derived); O(ns::Derived, inner.s, g_derived);
    O(ns::Derived, base_field, g_derived); O(ns::Derived, second_field, g_derived); O(ns::Derived, nv, g_derived);
    O(ns::Derived, data_pointer, g_derived); O(ns::Derived, code_pointer, g_derived); O(ns::Derived, null, g_derived);
    O(ns::Derived, flag, g_derived); O(ns::Derived, c16, g_derived); O(ns::Derived, wide, g_derived);
    O(ns::Diamond, d, g_diamond); O(Alias, items, g_array); O(Alias, cell.owner, g_array); O(Reuse, e, g_reuse); O(EmptyBase, i, g_eb);
    I(ns::Derived, ns::NoVirtual, g_derived); I(ns::Derived, ns::Base, g_derived); I(ns::Derived, ns::Second, g_derived);
    I(ns::Diamond, ns::Left, g_diamond); I(ns::Diamond, ns::Right, g_diamond);
    G(g_plain); G(g_derived); G(g_diamond); G(g_array); G(g_array2); G(g_pack); G(g_map); G(g_vec); G(g_string); G(g_shared); G(g_null);
    M(ns::Derived::shared);
    printf("M|ns::(anonymous namespace)::hidden|%zu|%zu\n", (size_t)((char *)&ns::hidden - &__executable_start), sizeof ns::hidden);
    printf("M|ns::(anonymous namespace)::hidden_int|%zu|%zu\n", (size_t)((char *)&ns::hidden_int - &__executable_start), sizeof ns::hidden_int);
    printf("M|ns::deep::v2::far|%zu|%zu\n", (size_t)((char *)&ns::deep::far - &__executable_start), sizeof ns::deep::far);
    printf("M|ns::Array<int, 3>::made|%zu|%zu\n", (size_t)((char *)&ns::Array<int, 3>::made - &__executable_start), sizeof(int));
    ns::Array<int, 3>::made = argc;
    void *tls = nullptr;
    dl_iterate_phdr(tls_block, &tls);
    if (tls)
        printf("T|t_plain|%zu\n", (size_t)((char *)&t_plain - (char *)tls));
    Counter()();
    g_shared = std::make_shared<ns::Derived::Inner>();
    ns::Base *d = new ns::Derived(g_plain), *l = new Local;
    ns::VBase *vb = new ns::Diamond;
    V("ns::Derived", dynamic_cast<void *>(d), d);
    V("ns::Derived", dynamic_cast<void *>(d), static_cast<ns::Second *>(static_cast<ns::Derived *>(d)));
    V("ns::Diamond", dynamic_cast<void *>(vb), vb);
    V("ns::Diamond", dynamic_cast<void *>(vb), static_cast<ns::Right *>(dynamic_cast<ns::Diamond *>(vb)));
    V("ns::Array<int, 3>", &g_array, &g_array);
    V("ns::Array<ns::Plain, 2>", &g_array2, &g_array2);
    V("ns::Array<unsigned long, 7>", &g_array3, &g_array3);
    V("ns::Array<char const*, 1>", &g_array4, &g_array4);
    V("ns::Kinded<ns::Array<int, 3>, (ns::Kind)200>", &g_kinded, &g_kinded);
    V("ns::Pack<int, ns::Plain, std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > >", &g_pack, &g_pack);
    V("ns::(anonymous namespace)::Hidden", &ns::hidden, &ns::hidden);
    V("ns::deep::v2::Far", &ns::deep::far, &ns::deep::far);
    V("Local", dynamic_cast<void *>(l), l);
    fflush(stdout);
    if (argc > 1)
        abort();
    return ns::hidden.x + ns::hidden_int + (argv == nullptr);
}
