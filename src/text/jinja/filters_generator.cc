// Filters that yield their items one by one, as jinja2's generators do: nothing happens until they are iterated, and
// then once.
#include "base/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/filters.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/iterate.h"

namespace glimmer::jinja {
namespace {

constexpr int64_t kMaxPieces = 1'000'000;

// The arguments behind the first `count` positional ones.
Args rest_of(const Args& args, size_t count) {
  Args rest;
  rest.positional.assign(args.positional.begin() + static_cast<long>(count), args.positional.end());
  rest.keywords = args.keywords;
  return rest;
}

// An iterator over call.self that is made at the first item. jinja2 looks at the value's truth first.
class LazySource {
 public:
  explicit LazySource(const Value& value) : value_(value) {}
  bool next(Value& out) {
    if (iterator_.is_missing()) {
      if (!truthy(value_)) return false;
      iterator_ = iterate(value_);
    }
    return iterator_.as_iterator().next(out);
  }

 private:
  Value value_;
  Value iterator_;
};

Value filter_map(const Call& call) {
  Interpreter& interpreter = call.interpreter;
  Args args = call.args;
  if (args.positional.empty()) {
    bool by_attribute = false;
    for (const auto& [key, value] : args.keywords) by_attribute = by_attribute || key == "attribute";
    if (!by_attribute) fail(ErrorCode::kInvalid, "map requires a filter argument");
    const Values bound = args.bind("map", {"attribute", "default"});
    return make_generator(
        [source = LazySource(call.self), path = AttributePath(bound[0]), fallback = bound[1]](Value& out) mutable {
          Value item;
          if (!source.next(item)) return false;
          out = path.get(item, fallback);
          return true;
        },
        {call.self});
  }
  const std::string name = string_argument(args.positional[0], "map", "filter");
  return make_generator(
      [&interpreter, source = LazySource(call.self), name, rest = rest_of(args, 1)](Value& out) mutable {
        Value item;
        if (!source.next(item)) return false;
        out = interpreter.call_filter(name, item, rest);
        return true;
      },
      {call.self});
}

Value choose(const Call& call, bool wanted, bool by_attribute) {
  Interpreter& interpreter = call.interpreter;
  const size_t offset = by_attribute ? 1 : 0;
  const Values& given = call.args.positional;
  if (given.size() < offset) fail(ErrorCode::kInvalid, "{}: missing parameter for attribute name", call.name);
  const AttributePath path(by_attribute ? given[0] : Value());
  const bool tested = given.size() > offset;
  const std::string name = tested ? string_argument(given[offset], call.name, "test") : "";
  Args rest = tested ? rest_of(call.args, offset + 1) : Args{};
  return make_generator(
      [&interpreter, wanted, tested, name, path, rest = std::move(rest),
       source = LazySource(call.self)](Value& out) mutable {
        while (source.next(out)) {
          const Value subject = path.get(out);
          if ((tested ? interpreter.call_test(name, subject, rest) : truthy(subject)) == wanted) return true;
        }
        return false;
      },
      {call.self});
}

Value filter_unique(const Call& call) {
  const Values args = call.bind({"case_sensitive", "attribute"});
  const bool case_sensitive = !args[0].is_missing() && truthy(args[0]);
  const Value seen = make_dict(std::make_unique<Dict>());
  return make_generator(
      [seen, case_sensitive, path = AttributePath(args[1]), value = call.self, iterator = Value()](Value& out) mutable {
        if (iterator.is_missing()) iterator = iterate(value);
        auto& dict = const_cast<Dict&>(seen.as_dict());  // this generator's own set
        while (iterator.as_iterator().next(out)) {
          const Value key = case_sensitive ? path.get(out) : ignore_case(path.get(out));
          if (dict.find(key) != nullptr) continue;
          dict.set(key, Value::none());
          return true;
        }
        return false;
      },
      {call.self});
}

Value filter_items(const Call& call) {
  call.bind({});
  return make_generator(
      [value = call.self, at = size_t{0}](Value& out) mutable {
        if (value.is_undefined()) return false;
        if (!value.is(Type::kDict)) fail(ErrorCode::kInvalid, "Can only get item pairs from a mapping.");
        const auto& entries = value.as_dict().entries;
        if (at == entries.size()) return false;
        out = Value::tuple({entries[at].first, entries[at].second});
        ++at;
        return true;
      },
      {call.self});
}

Value filter_batch(const Call& call) {
  const Values args = call.bind({"linecount", "fill_with"}, 1);
  const int64_t size = int_argument(args[0], call.name, "linecount");
  const Value fill = args[1];
  if (size > kMaxPieces) fail(ErrorCode::kLimit, "batch({}) is too big", size);
  return make_generator(
      [size, fill, value = call.self, iterator = Value(), held = Value()](Value& out) mutable {
        if (iterator.is_missing()) iterator = iterate(value);
        Values line;
        if (!held.is_missing()) line.push_back(std::exchange(held, Value()));
        Value item;
        while (iterator.as_iterator().next(item)) {
          if (static_cast<int64_t>(line.size()) == size) {
            held = item;
            out = Value::list(std::move(line));
            return true;
          }
          line.push_back(item);
        }
        if (line.empty()) return false;
        const bool fills = !fill.is_missing() && !fill.is_none();
        while (fills && static_cast<int64_t>(line.size()) < size) line.push_back(fill);
        out = Value::list(std::move(line));
        return true;
      },
      {call.self, fill});
}

Value filter_slice(const Call& call) {
  const Values args = call.bind({"slices", "fill_with"}, 1);
  const int64_t slices = int_argument(args[0], call.name, "slices");
  const Value fill = args[1];
  if (slices > kMaxPieces) fail(ErrorCode::kLimit, "slice({}) is too big", slices);
  return make_generator(
      [slices, fill, value = call.self, items = Value(), number = int64_t{0}, at = int64_t{0}](Value& out) mutable {
        if (items.is_missing()) items = Value::list(collect(value));
        if (slices == 0) fail(ErrorCode::kInvalid, "integer division or modulo by zero");
        if (number >= slices) return false;
        const int64_t length = static_cast<int64_t>(items.items().size());
        const int64_t extra = length % slices;
        const int64_t count = length / slices + (number < extra ? 1 : 0);
        Values piece(items.items().begin() + at, items.items().begin() + at + count);
        if (!fill.is_missing() && !fill.is_none() && number >= extra) piece.push_back(fill);
        at += count;
        ++number;
        out = Value::list(std::move(piece));
        return true;
      },
      {call.self, fill});
}

constexpr NamedFunction kFilters[] = {
    {"batch", filter_batch},
    {"items", filter_items},
    {"map", filter_map},
    {"reject", [](const Call& call) { return choose(call, false, false); }},
    {"rejectattr", [](const Call& call) { return choose(call, false, true); }},
    {"select", [](const Call& call) { return choose(call, true, false); }},
    {"selectattr", [](const Call& call) { return choose(call, true, true); }},
    {"slice", filter_slice},
    {"unique", filter_unique},
};

}  // namespace

std::span<const NamedFunction> generator_filters() { return kFilters; }

}  // namespace glimmer::jinja
