// Filters that take a whole sequence.
#include <algorithm>

#include "base/error.h"
#include "text/jinja/budget.h"
#include "text/jinja/filters.h"
#include "text/jinja/iterate.h"
#include "text/jinja/operators.h"
#include "text/jinja/unicode.h"

namespace glimmer::jinja {
namespace {

bool flag(const Value& value) { return !value.is_missing() && truthy(value); }

// Stable, as Python's sorted(). `keys` are compared; a pair of kinds without an order throws.
Values sorted_by(const Values& items, const Values& keys, bool reverse) {
  std::vector<size_t> order(items.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (Budget* budget = Budget::current()) budget->step();
    return reverse ? compare(keys[b], keys[a]) == -1 : compare(keys[a], keys[b]) == -1;
  });
  Values out;
  out.reserve(items.size());
  for (size_t i : order) out.push_back(items[i]);
  return out;
}

Value filter_sort(const Call& call) {
  const Values args = call.bind({"reverse", "case_sensitive", "attribute"});
  std::vector<AttributePath> paths;  // "a,b" sorts by a, then by b
  if (args[2].is_string()) {
    std::string_view rest = args[2].text();
    while (true) {
      const size_t comma = rest.find(',');
      paths.emplace_back(Value::string(std::string(rest.substr(0, comma))));
      if (comma == rest.npos) break;
      rest.remove_prefix(comma + 1);
    }
  } else {
    paths.emplace_back(args[2]);
  }
  const Values items = collect(call.self);
  Values keys;
  for (const Value& item : items) {
    Values parts;
    for (const AttributePath& path : paths) {
      const Value part = path.get(item);
      parts.push_back(flag(args[1]) ? part : ignore_case(part));
    }
    keys.push_back(Value::list(std::move(parts)));
  }
  return Value::list(sorted_by(items, keys, flag(args[0])));
}

Value filter_dictsort(const Call& call) {
  const Values args = call.bind({"case_sensitive", "by", "reverse"});
  const std::string by = args[1].is_missing() ? "key" : to_str(args[1]);
  if (by != "key" && by != "value") fail(ErrorCode::kInvalid, "dictsort(): by must be 'key' or 'value', not '{}'", by);
  if (call.self.is_undefined()) fail(ErrorCode::kInvalid, "{}", call.self.undefined_message());
  if (!call.self.is(Type::kDict)) fail(ErrorCode::kInvalid, "dictsort() needs a mapping, not {}", type_name(call.self));
  Values items;
  Values keys;
  for (const auto& [key, value] : call.self.as_dict().entries) {
    items.push_back(Value::tuple({key, value}));
    const Value& sort_key = by == "key" ? key : value;
    keys.push_back(flag(args[0]) ? sort_key : ignore_case(sort_key));
  }
  return Value::list(sorted_by(items, keys, flag(args[2])));
}

Value filter_groupby(const Call& call) {
  const Values args = call.bind({"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(args[0]);
  const Values unsorted = collect(call.self);
  Values keys;
  for (const Value& item : unsorted) {
    const Value key = path.get(item, args[1]);
    keys.push_back(flag(args[2]) ? key : ignore_case(key));
  }
  const Values items = sorted_by(unsorted, keys, false);
  const Values ordered_keys = sorted_by(keys, keys, false);
  Values groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin + 1;
    while (end < items.size() && equals(ordered_keys[begin], ordered_keys[end])) ++end;
    Values members(items.begin() + static_cast<long>(begin), items.begin() + static_cast<long>(end));
    // The first member's own spelling names the group.
    const Value grouper = flag(args[2]) ? ordered_keys[begin] : path.get(members[0], args[1]);
    auto* group = new List({grouper, Value::list(std::move(members))});
    group->group = true;
    groups.push_back(Value::object(Type::kTuple, group));
    begin = end;
  }
  return Value::list(std::move(groups));
}

Value extreme(const Call& call, int wanted) {
  const Values args = call.bind({"case_sensitive", "attribute"});
  const AttributePath path(args[1]);
  const Values items = collect(call.self);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  const auto key_of = [&](const Value& item) {
    const Value key = path.get(item);
    return flag(args[0]) ? key : ignore_case(key);
  };
  size_t best = 0;
  Value best_key = key_of(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    const Value key = key_of(items[i]);
    if (compare(key, best_key, wanted < 0 ? "<" : ">") != wanted) continue;
    best = i;
    best_key = key;
  }
  return items[best];
}

Value filter_first(const Call& call) {
  call.bind({});
  const Value iterator = iterate(call.self);
  Value item;
  if (iterator.as_iterator().next(item)) return item;
  return Value::undefined("No first item, sequence was empty.");
}

// What Python's reversed() takes.
Value reversed(const Call& call) {
  if (call.self.is(Type::kIterator) || !is_iterable(call.self) || call.self.is(Type::kCallable)) {
    fail(ErrorCode::kInvalid, "'{}' object is not reversible", type_name(call.self));
  }
  Values items = collect(call.self);
  std::reverse(items.begin(), items.end());
  return Value::list(std::move(items));
}

Value filter_last(const Call& call) {
  call.bind({});
  const Value items = reversed(call);
  return items.items().empty() ? Value::undefined("No last item, sequence was empty.") : items.items()[0];
}

Value filter_reverse(const Call& call) {
  call.bind({});
  if (call.self.is_string()) {
    const std::u32string points = to_code_points(call.self.text());
    return Value::string_like(call.self.as_string(), from_code_points(std::u32string(points.rbegin(), points.rend())));
  }
  Values items = collect(call.self);
  std::reverse(items.begin(), items.end());
  if (call.self.is(Type::kIterator)) return Value::list(std::move(items));
  return iterate_items(std::move(items), "list_reverseiterator");
}

Value filter_join(const Call& call) {
  const Values args = call.bind({"d", "attribute"});
  const AttributePath path(args[1]);
  const std::string separator = args[0].is_missing() ? "" : to_str(args[0]);
  const Value iterator = iterate(call.self);
  std::string out;
  Value item;
  for (bool first = true; iterator.as_iterator().next(item); first = false) {
    if (!first) out += separator;
    append_str(out, path.get(item));
  }
  return Value::string(std::move(out));
}

Value filter_list(const Call& call) {
  call.bind({});
  return Value::list(collect(call.self));
}

Value filter_sum(const Call& call) {
  const Values args = call.bind({"attribute", "start"});
  const AttributePath path(args[0]);
  Value total = args[1].is_missing() ? Value::integer(0) : args[1];
  if (total.is_string()) fail(ErrorCode::kInvalid, "sum() can't sum strings [use ''.join(seq) instead]");
  for (const Value& item : collect(call.self)) total = add(total, path.get(item));
  return total;
}

constexpr NamedFunction kFilters[] = {
    {"dictsort", filter_dictsort},
    {"first", filter_first},
    {"groupby", filter_groupby},
    {"join", filter_join},
    {"last", filter_last},
    {"list", filter_list},
    {"max", [](const Call& call) { return extreme(call, 1); }},
    {"min", [](const Call& call) { return extreme(call, -1); }},
    {"reverse", filter_reverse},
    {"sort", filter_sort},
    {"sum", filter_sum},
};

}  // namespace

std::span<const NamedFunction> sequence_filters() { return kFilters; }

}  // namespace glimmer::jinja
