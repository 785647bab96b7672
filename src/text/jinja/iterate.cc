#include "text/jinja/iterate.h"

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/callable.h"
#include "text/jinja/search.h"

namespace glimmer::jinja {
namespace {

struct Generator : Iterator {
  Generator(std::function<bool(Value&)> function, const Values& holds, std::string_view name)
      : step(std::move(function)), python_name(name) {
    charge(sizeof(*this) + 64);
    for (const Value& held : holds) contain(held);
  }
  bool next(Value& out) override {
    if (Budget* budget = Budget::current()) {
      budget->step();
      budget->check_stack();
    }
    if (running) fail(ErrorCode::kInvalid, "generator already executing");
    if (done) return false;
    running = true;
    try {
      done = !step(out);
    } catch (...) {
      done = true;
      running = false;
      throw;
    }
    running = false;
    return !done;
  }
  std::string_view type_name() const override { return python_name; }

  std::function<bool(Value&)> step;
  std::string_view python_name;
  bool running = false;
  bool done = false;
};

Value iterate_list(const Value& list) {
  return make_generator(
      [list, at = size_t{0}](Value& out) mutable {
        if (at == list.items().size()) return false;
        out = list.items()[at++];
        return true;
      },
      {list}, list.is(Type::kList) ? "list_iterator" : "tuple_iterator");
}

Value iterate_string(const Value& string) {
  return make_generator(
      [string, at = size_t{0}](Value& out) mutable {
        const std::string& text = string.text();
        if (at == text.size()) return false;
        const uint32_t bytes = decode_utf8(text, at).size_bytes;
        out = Value::string(text.substr(at, bytes));
        at += bytes;
        return true;
      },
      {string}, "str_iterator");
}

Value iterate_dict(const Value& dict, DictView::Kind kind) {
  return make_generator(
      [dict, kind, at = size_t{0}](Value& out) mutable {
        const auto& entries = dict.as_dict().entries;
        if (at == entries.size()) return false;
        const auto& [key, value] = entries[at++];
        out = kind == DictView::Kind::kKeys     ? key
              : kind == DictView::Kind::kValues ? value
                                                : Value::tuple({key, value});
        return true;
      },
      {dict}, "dict_iterator");
}

Value iterate_range(const Value& range) {
  return make_generator(
      [range, at = int64_t{0}](Value& out) mutable {
        const Range& r = range.as_range();
        if (at == r.length) return false;
        out = Value::integer(r.start + r.step * at++);
        return true;
      },
      {range}, "range_iterator");
}

}  // namespace

Value make_generator(std::function<bool(Value&)> step, const Values& holds, std::string_view type_name) {
  return Value::object(Type::kIterator, new Generator(std::move(step), holds, type_name));
}

Value iterate_items(Values items, std::string_view type_name) {
  const Value list = Value::list(std::move(items));
  return make_generator(
      [list, at = size_t{0}](Value& out) mutable {
        if (at == list.items().size()) return false;
        out = list.items()[at++];
        return true;
      },
      {list}, type_name);
}

bool is_iterable(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kRange:
    case Type::kDictView:
    case Type::kIterator:
      return true;
    case Type::kCallable:
      return value.as_callable().length() >= 0;  // a loop
    default:
      return false;
  }
}

Value iterate(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
      return iterate_items({}, "generator");
    case Type::kString:
      return iterate_string(value);
    case Type::kList:
    case Type::kTuple:
      return iterate_list(value);
    case Type::kDict:
      return iterate_dict(value, DictView::Kind::kKeys);
    case Type::kRange:
      return iterate_range(value);
    case Type::kDictView:
      return iterate_dict(value.as_view().dict, value.as_view().kind);
    case Type::kIterator:
      return value;
    default:
      fail(ErrorCode::kInvalid, "'{}' object is not iterable", type_name(value));
  }
}

Values collect(const Value& value) {
  if (value.is_sequence()) return value.items();
  const Value iterator = iterate(value);
  Values items;
  Value item;
  while (iterator.as_iterator().next(item)) {
    if (Budget* budget = Budget::current()) budget->step();
    items.push_back(item);
  }
  return items;
}

bool contains(const Value& container, const Value& value) {
  switch (container.type()) {
    case Type::kString:
      if (!value.is_string()) {
        fail(ErrorCode::kInvalid, "'in <string>' requires string as left operand, not {}", type_name(value));
      }
      return find_text(container.text(), value.text()) != std::string_view::npos;
    case Type::kDict:
      return container.as_dict().find(value) != nullptr;
    case Type::kList:
    case Type::kTuple: {
      for (const Value& item : container.items()) {
        if (equals(item, value)) return true;
      }
      return false;
    }
    case Type::kDictView:
      if (container.as_view().kind == DictView::Kind::kKeys) return contains(container.as_view().dict, value);
      break;
    case Type::kNone:
    case Type::kBool:
    case Type::kInt:
    case Type::kFloat:
    case Type::kExact:
    case Type::kNamespace:
      fail(ErrorCode::kInvalid, "argument of type '{}' is not iterable", type_name(container));
    default:
      break;
  }
  const Value iterator = iterate(container);
  Value item;
  while (iterator.as_iterator().next(item)) {
    if (equals(item, value)) return true;
  }
  return false;
}

}  // namespace glimmer::jinja
