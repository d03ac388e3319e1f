// layout.c for Rust: see there. S and F lines only, and one G.
use std::mem::size_of;
struct Node { next: Option<Box<Node>>, value: i32, name: String, small: u8 }
enum Shape { Circle(f64), Rect { w: u16, h: u16 }, Nothing }
static mut COUNT: u64 = 3;

macro_rules! field {
    ($name:expr, $object:expr, $field:ident) => {
        println!("F|{}|{}|{}|{}", $name, stringify!($field), &$object.$field as *const _ as usize - &$object as *const _ as usize,
                 std::mem::size_of_val(&$object.$field))
    };
}

fn main() {
    let n = Node { next: None, value: 1, name: String::new(), small: 2 };
    let shapes = [Shape::Circle(1.0), Shape::Rect { w: 1, h: 2 }, Shape::Nothing];
    println!("S|layout::Node|{}\nS|layout::Shape|{}\nS|alloc::string::String|{}", size_of::<Node>(), size_of::<Shape>(), size_of::<String>());
    field!("layout::Node", n, next);
    field!("layout::Node", n, value);
    field!("layout::Node", n, name);
    field!("layout::Node", n, small);
    for s in &shapes {
        let start = s as *const _ as usize;
        match s {
            Shape::Circle(r) => println!("F|layout::Shape|Circle.__0|{}|0", r as *const _ as usize - start),
            Shape::Rect { w, h } => println!("F|layout::Shape|Rect.w|{}|0\nF|layout::Shape|Rect.h|{}|0", w as *const _ as usize - start,
                                             h as *const _ as usize - start),
            Shape::Nothing => unsafe { COUNT += 1 },
        }
    }
    assert!(n.next.is_none() && n.name.is_empty() && n.value + n.small as i32 == 3);
}
