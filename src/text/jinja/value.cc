#include "text/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json_numbers.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/callable.h"

namespace glimmer::jinja {
namespace {

constexpr size_t kIndexedDictEntries = 8;

struct UndefinedObject : Object {
  explicit UndefinedObject(std::string text) : message(std::move(text)) { charge(sizeof(*this) + message.size()); }
  std::string message;
};

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x80; });
}

}  // namespace

Object::~Object() {
  if (Budget* budget = Budget::current()) budget->release(charged_bytes);
}

void Object::charge(size_t bytes) {
  Budget* budget = Budget::current();
  if (budget == nullptr) return;
  budget->allocate(bytes);
  charged_bytes += bytes;
}

void Object::contain(const Value& value) {
  const Object* member = value.heap();
  if (member == nullptr || value.is(Type::kNamespace) || value.is(Type::kString)) return;
  depth = std::max(depth, member->depth + 1);
  if (depth > kMaxValueDepth) {
    fail(ErrorCode::kLimit, "lists, dicts or iterators are nested more than {} deep", kMaxValueDepth);
  }
}

String::String(std::string value, bool is_markup) : text(std::move(value)), markup(is_markup) {
  if (Budget* budget = Budget::current()) {
    budget->check_string(text.size());
    budget->work(text.size());
  }
  charge(sizeof(*this) + text.size());
  ascii = is_ascii(text);
}

ExactNumber::ExactNumber(std::string number)
    : text(std::move(number)), integer(is_integer_text(text)), nearest(std::strtod(text.c_str(), nullptr)) {
  charge(sizeof(*this) + text.size());
  charge_work(text.size());
}

List::List(Values values) : elements(std::move(values)) {
  charge(sizeof(*this) + elements.size() * sizeof(Value));
  charge_work(elements.size() * sizeof(Value));
  for (const Value& element : elements) contain(element);
}

int64_t Dict::position(const Value& key, size_t hash) const {
  if (index_.empty()) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (equals(entries[i].first, key)) return static_cast<int64_t>(i);
    }
    return -1;
  }
  const auto [first, last] = index_.equal_range(hash);
  for (auto it = first; it != last; ++it) {
    if (equals(entries[it->second].first, key)) return it->second;
  }
  return -1;
}

void Dict::set(const Value& key, const Value& value) {
  const size_t hash = hash_of(key);
  contain(key);
  contain(value);
  if (const int64_t at = position(key, hash); at >= 0) {
    entries[at].second = value;
    return;
  }
  charge(2 * sizeof(Value) + 48);
  charge_work(64);
  entries.emplace_back(key, value);
  if (entries.size() == kIndexedDictEntries + 1) {
    for (size_t i = 0; i < entries.size(); ++i) index_.emplace(hash_of(entries[i].first), static_cast<uint32_t>(i));
  } else if (entries.size() > kIndexedDictEntries) {
    index_.emplace(hash, static_cast<uint32_t>(entries.size() - 1));
  }
}

const Value* Dict::find(const Value& key) const {
  const int64_t at = position(key, hash_of(key));
  return at < 0 ? nullptr : &entries[at].second;
}

const Value* Dict::find(std::string_view key) const {
  if (index_.empty()) {
    for (const auto& [name, value] : entries) {
      if (name.is_string() && name.text() == key) return &value;
    }
    return nullptr;
  }
  const auto [first, last] = index_.equal_range(std::hash<std::string_view>()(key));
  for (auto it = first; it != last; ++it) {
    const auto& [name, value] = entries[it->second];
    if (name.is_string() && name.text() == key) return &value;
  }
  return nullptr;
}

Range::Range(int64_t first, int64_t end, int64_t by) : start(first), stop(end), step(by) {
  const __int128 span = by > 0 ? static_cast<__int128>(end) - first : static_cast<__int128>(first) - end;
  const __int128 stride = by > 0 ? static_cast<__int128>(by) : -static_cast<__int128>(by);
  const __int128 count = span <= 0 ? 0 : (span + stride - 1) / stride;
  if (count > INT64_MAX) fail(ErrorCode::kLimit, "range() is too long");
  length = static_cast<int64_t>(count);
  charge(sizeof(*this));
}

DictView::DictView(Kind which, const Value& of) : kind(which), dict(of) {
  charge(sizeof(*this));
  contain(of);
}

Value Value::none() {
  Value value;
  value.type_ = Type::kNone;
  return value;
}
Value Value::boolean(bool b) {
  Value value;
  value.type_ = Type::kBool;
  value.bits_.integer = b ? 1 : 0;
  return value;
}
Value Value::integer(int64_t i) {
  Value value;
  value.type_ = Type::kInt;
  value.bits_.integer = i;
  return value;
}
Value Value::real(double d) {
  Value value;
  value.type_ = Type::kFloat;
  value.bits_.real = d;
  return value;
}
Value Value::exact(std::string number) { return object(Type::kExact, new ExactNumber(std::move(number))); }
Value Value::string(std::string text) { return object(Type::kString, new String(std::move(text), false)); }
Value Value::markup(std::string text) { return object(Type::kString, new String(std::move(text), true)); }
Value Value::string_like(const String& model, std::string text) {
  return object(Type::kString, new String(std::move(text), model.markup));
}
Value Value::list(Values items) { return object(Type::kList, new List(std::move(items))); }
Value Value::tuple(Values items) { return object(Type::kTuple, new List(std::move(items))); }
Value Value::undefined(std::string message) {
  return object(Type::kUndefined, new UndefinedObject(std::move(message)));
}
Value Value::undefined_name(std::string_view name) { return undefined(fmt::format("'{}' is undefined", name)); }

Value make_dict(std::unique_ptr<Dict> dict) { return Value::object(Type::kDict, dict.release()); }

Value Value::from_json(const Json& json) {
  if (Budget* budget = Budget::current()) budget->check_stack();
  switch (json.type()) {
    case Json::value_t::boolean:
      return boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return integer(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const uint64_t number = json.get<uint64_t>();
      if (number <= INT64_MAX) return integer(static_cast<int64_t>(number));
      return exact(std::to_string(number));
    }
    case Json::value_t::number_float:
      return real(json.get<double>());
    case Json::value_t::string:
      return string(to_valid_utf8(json.get_ref<const std::string&>()));
    case Json::value_t::array: {
      Values items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json(item));
      return list(std::move(items));
    }
    case Json::value_t::object: {
      auto dict = std::make_unique<Dict>();
      for (const auto& [key, item] : json.items()) dict->set(string(to_valid_utf8(key)), from_json(item));
      return make_dict(std::move(dict));
    }
    case Json::value_t::binary:
      return exact(number_text(json));
    default:
      return none();
  }
}

const String& Value::as_string() const { return static_cast<const String&>(*bits_.object); }
const std::string& Value::text() const { return as_string().text; }
const ExactNumber& Value::as_exact() const { return static_cast<const ExactNumber&>(*bits_.object); }
double Value::nearest() const { return as_exact().nearest; }
const List& Value::as_list() const { return static_cast<const List&>(*bits_.object); }
const Values& Value::items() const { return as_list().elements; }
const Dict& Value::as_dict() const { return static_cast<const Dict&>(*bits_.object); }
const Range& Value::as_range() const { return static_cast<const Range&>(*bits_.object); }
const DictView& Value::as_view() const { return static_cast<const DictView&>(*bits_.object); }
Iterator& Value::as_iterator() const { return static_cast<Iterator&>(*bits_.object); }
Namespace& Value::as_namespace() const { return static_cast<Namespace&>(*bits_.object); }
Callable& Value::as_callable() const { return static_cast<Callable&>(*bits_.object); }

std::string Value::undefined_message() const {
  return bits_.object == nullptr ? "undefined value" : static_cast<const UndefinedObject&>(*bits_.object).message;
}

std::string_view type_name(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
      return "Undefined";
    case Type::kNone:
      return "NoneType";
    case Type::kBool:
      return "bool";
    case Type::kInt:
      return "int";
    case Type::kFloat:
      return "float";
    case Type::kExact:
      return value.as_exact().integer ? "int" : "float";
    case Type::kString:
      return value.as_string().markup ? "Markup" : "str";
    case Type::kList:
      return "list";
    case Type::kTuple:
      return "tuple";
    case Type::kDict:
      return "dict";
    case Type::kRange:
      return "range";
    case Type::kDictView:
      return value.as_view().kind == DictView::Kind::kKeys     ? "dict_keys"
             : value.as_view().kind == DictView::Kind::kValues ? "dict_values"
                                                               : "dict_items";
    case Type::kIterator:
      return value.as_iterator().type_name();
    case Type::kNamespace:
      return "Namespace";
    case Type::kCallable:
      return value.as_callable().type_name();
  }
  return "object";
}

int64_t length_of(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
      return 0;
    case Type::kString: {
      const String& string = value.as_string();
      if (string.ascii) return static_cast<int64_t>(string.text.size());
      charge_work(4 * string.text.size());
      return static_cast<int64_t>(count_code_points(string.text));
    }
    case Type::kList:
    case Type::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Type::kDict:
      return static_cast<int64_t>(value.as_dict().entries.size());
    case Type::kRange:
      return value.as_range().length;
    case Type::kDictView:
      return length_of(value.as_view().dict);
    case Type::kCallable:
      return value.as_callable().length();
    default:
      return -1;
  }
}

bool truthy(const Value& value) {
  switch (value.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone:
      return false;
    case Type::kBool:
    case Type::kInt:
      return value.as_int() != 0;
    case Type::kFloat:
      return value.as_double() != 0;
    case Type::kString:
      return !value.text().empty();
    case Type::kExact:  // none is zero
    case Type::kIterator:
    case Type::kNamespace:
      return true;
    case Type::kCallable:
      return value.as_callable().length() != 0;
    default:
      return length_of(value) != 0;
  }
}

}  // namespace glimmer::jinja
