// An inventory application: virtual classes in standard containers, a shared_ptr ring, and a forgotten raw pointer.
//
// Items live in std::map by article number, orders in a std::vector, places in a std::unordered_map.
//
// FAULT 1: a Bundle owns its parts with shared_ptr, and each part keeps a shared_ptr back to the bundle it is part of.
// When a bundle is taken off sale, map and orders drop it, the bundle and its parts keep each other alive. (part_of_ should
// be a weak_ptr.)
// FAULT 2: audit() returns early on a clean report and forgets the Report it made with new. (It should be a unique_ptr.)
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <unistd.h>
#include <unordered_map>
#include <vector>

namespace shop {

class Bundle;

class Item {
public:
    Item(unsigned number, std::string name, double price) : number_(number), name_(std::move(name)), price_(price) {}
    virtual ~Item() = default;
    virtual double price() const { return price_; }
    virtual const char *kind() const = 0;
    unsigned number() const { return number_; }
    const std::string &name() const { return name_; }
    void join(std::shared_ptr<Bundle> b) { part_of_ = std::move(b); }

private:
    unsigned number_;
    std::string name_;
    double price_;
    std::shared_ptr<Bundle> part_of_; // FAULT 1
};

class Perishable : public Item {
public:
    Perishable(unsigned number, std::string name, double price, int days)
        : Item(number, std::move(name), price), days_left_(days) {}
    double price() const override { return days_left_ < 3 ? Item::price() / 2 : Item::price(); }
    const char *kind() const override { return "perishable"; }

private:
    int days_left_;
};

class Device : public Item {
public:
    Device(unsigned number, std::string name, double price, std::vector<std::string> serials)
        : Item(number, std::move(name), price), serials_(std::move(serials)) {}
    const char *kind() const override { return "device"; }

private:
    std::vector<std::string> serials_;
};

class Bundle : public Item {
public:
    Bundle(unsigned number, std::string name, unsigned parts) : Item(number, std::move(name), 0) { parts_.reserve(parts); }
    void add(std::shared_ptr<Item> part) { parts_.push_back(std::move(part)); }
    double price() const override
    {
        double sum = 0;
        for (const auto &p : parts_)
            sum += p->price();
        return sum * 0.9;
    }
    const char *kind() const override { return "bundle"; }
    size_t size() const { return parts_.size(); }

private:
    std::vector<std::shared_ptr<Item>> parts_;
};

struct Place {
    int aisle, level;
    std::vector<unsigned> numbers;
};

struct Order {
    std::string customer;
    std::vector<std::shared_ptr<Item>> items;
    double total = 0;
};

class Report {
public:
    explicit Report(std::string title) : title_(std::move(title)) {}
    virtual ~Report() = default;
    void line(const std::string &text) { lines_.push_back(text); }
    bool clean() const { return lines_.size() < 4; }
    void print() const
    {
        for (const auto &l : lines_)
            if (l.empty())
                std::puts(title_.c_str());
    }

private:
    std::string title_;
    std::vector<std::string> lines_;
};

class Shop {
public:
    void stock(unsigned number)
    {
        std::string name = "article " + std::to_string(number) + " of the autumn catalogue";
        std::shared_ptr<Item> item;
        if (number % 3)
            item = std::make_shared<Perishable>(number, name, number % 50 + 0.99, int(number % 10));
        else
            item = std::shared_ptr<Item>(new Device(number, name, number % 900 + 0.5, {"SN-" + std::to_string(number * 7919), "rev B"}));
        items_[number] = item;
        places_[int(number % 400)].numbers.push_back(number);
    }

    std::shared_ptr<Bundle> bundle(unsigned number, unsigned first, unsigned parts)
    {
        auto b = std::make_shared<Bundle>(number, "bundle " + std::to_string(number) + ", everything you need", parts);
        for (unsigned i = 0; i < parts; i++) {
            auto part = std::make_shared<Perishable>(first + i, "part " + std::to_string(first + i) + " of a bundle", 2.5, 9);
            part->join(b);
            b->add(part);
        }
        items_[number] = b;
        return b;
    }

    void order(const std::string &customer, unsigned from)
    {
        auto o = std::make_unique<Order>();
        o->customer = customer;
        o->items.reserve(1 + from % 5);
        for (unsigned i = 0; i < 1 + from % 5; i++)
            if (auto it = items_.find(from + i); it != items_.end()) {
                o->items.push_back(it->second);
                o->total += it->second->price();
            }
        orders_.push_back(std::move(o));
    }

    // Takes an article off sale.
    void withdraw(unsigned number) { items_.erase(number); }

    bool audit(unsigned day)
    {
        auto *report = new Report("audit of day " + std::to_string(day) + " of the year");
        for (unsigned i = 0; i < day % 5; i++)
            report->line("order " + std::to_string(i) + " of day " + std::to_string(day) + " has no address");
        if (report->clean())
            return true; // FAULT 2
        report->print();
        delete report;
        return false;
    }

private:
    std::map<unsigned, std::shared_ptr<Item>> items_;
    std::unordered_map<int, Place> places_;
    std::vector<std::unique_ptr<Order>> orders_;
};

} // namespace shop

static shop::Shop the_shop;

int main()
{
    for (unsigned n = 1000; n < 21000; n++)
        the_shop.stock(n);
    size_t lost_parts = 0, lost_bundles = 0, lost_reports = 0;
    for (unsigned n = 0; n < 300; n++) {
        auto b = the_shop.bundle(50000 + n, 60000 + n * 10, 2 + n % 7);
        if (n % 3 == 0) {
            lost_bundles++;
            lost_parts += b->size();
        }
    }
    for (unsigned n = 0; n < 4000; n++)
        the_shop.order("customer " + std::to_string(n) + " of Harbour Street", 1000 + n * 5);
    for (unsigned n = 0; n < 300; n += 3)
        the_shop.withdraw(50000 + n);
    for (unsigned day = 1; day <= 365; day++)
        lost_reports += the_shop.audit(day);
    std::printf("lost: %zu bundles with %zu parts, %zu reports\nready\n", lost_bundles, lost_parts, lost_reports);
    std::fflush(stdout);
    pause();
}
