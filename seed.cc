
namespace ns { struct B { virtual ~B(); int b; }; template <class T, int N> struct D : virtual B { T t[N]; static int st; struct In { T &r; D *up; } *in; };
template <class T, int N> int D<T, N>::st; template <class... A> struct P : B { int n; }; namespace { int hid; } enum class E : char { X }; }
ns::B::~B() { hid++; } ns::D<int, 3> d; ns::P<int, char> p; int ns::B::*mp; decltype(nullptr) np; ns::E e; int u() { return ns::D<int, 3>::st; }
