// Values of a template: what Python's None, bool, int, float, str, list, tuple, dict, range, iterators and callables
// are to jinja2. Containers are immutable once made (the sandbox forbids append and the like), except namespaces.
// Integers have 64 bits; those of the inputs that are larger keep their digits. Arithmetic beyond 64 bits is an error,
// not a wrong number. Values belong to one render on one thread; their reference counts are plain integers.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/json.h"

namespace glimmer::jinja {

enum class Type : uint8_t {
  kMissing,  // not a value: a name that was never assigned
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kExact,  // a number of the inputs that 64 bits or a double do not hold digit for digit
  kList,
  kTuple,
  kDict,
  kRange,
  kDictView,
  kIterator,
  kNamespace,
  kCallable,
};

// Containers inside one another; JSON inputs have at most 64.
inline constexpr uint32_t kMaxValueDepth = 200;

class Value;

// Heap part of a value. `depth` is 1 + the deepest member's, so that destruction and printing recurse boundedly.
struct Object {
  Object() = default;
  virtual ~Object();
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  void charge(size_t bytes);         // live memory, given back by the destructor
  void contain(const Value& value);  // raises depth; throws kLimit beyond kMaxValueDepth

  uint32_t references = 0;
  uint32_t depth = 1;
  size_t charged_bytes = 0;
};

struct String;
struct ExactNumber;
struct List;
struct Dict;
struct Range;
struct DictView;
struct Iterator;
struct Namespace;
struct Callable;

using Values = std::vector<Value>;

class Value {
 public:
  Value() = default;  // missing
  Value(const Value& other) : type_(other.type_), bits_(other.bits_) { retain(); }
  Value(Value&& other) noexcept : type_(other.type_), bits_(other.bits_) { other.type_ = Type::kMissing; }
  Value& operator=(Value other) noexcept {
    std::swap(type_, other.type_);
    std::swap(bits_, other.bits_);
    return *this;
  }
  ~Value() { release(); }

  static Value none();
  static Value boolean(bool value);
  static Value integer(int64_t value);
  static Value real(double value);
  static Value exact(std::string number);  // as JSON writes it
  static Value string(std::string text);
  static Value markup(std::string text);  // a str subclass that + and % escape their other operand for
  static Value string_like(const String& model, std::string text);  // markup if `model` is
  static Value list(Values items);
  static Value tuple(Values items);
  // An undefined value; `message` is what using it reports.
  static Value undefined(std::string message);
  static Value undefined_name(std::string_view name);
  static Value from_json(const Json& json);

  template <typename T>
  static Value object(Type type, T* object) {
    Value value;
    value.type_ = type;
    value.bits_.object = object;
    value.retain();
    return value;
  }

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool is_missing() const { return type_ == Type::kMissing; }
  bool is_undefined() const { return type_ == Type::kUndefined; }
  bool is_none() const { return type_ == Type::kNone; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_sequence() const { return type_ == Type::kList || type_ == Type::kTuple; }
  bool is_integral() const { return type_ == Type::kInt || type_ == Type::kBool; }
  bool is_number() const { return is_integral() || type_ == Type::kFloat || type_ == Type::kExact; }

  bool as_bool() const { return bits_.integer != 0; }
  int64_t as_int() const { return bits_.integer; }  // of an int or bool
  double as_double() const {                        // of any number
    return type_ == Type::kFloat ? bits_.real : type_ == Type::kExact ? nearest() : static_cast<double>(bits_.integer);
  }
  const ExactNumber& as_exact() const;
  const String& as_string() const;
  const std::string& text() const;  // of a string
  const List& as_list() const;      // of a list or tuple
  const Values& items() const;      // of a list or tuple
  const Dict& as_dict() const;
  const Range& as_range() const;
  const DictView& as_view() const;
  Iterator& as_iterator() const;
  Namespace& as_namespace() const;
  Callable& as_callable() const;
  Object* heap() const { return has_object() ? bits_.object : nullptr; }

  // What an undefined value reports when it is used.
  std::string undefined_message() const;

 private:
  double nearest() const;
  bool has_object() const { return type_ >= Type::kString || (type_ == Type::kUndefined && bits_.object != nullptr); }
  void retain() {
    if (has_object()) ++bits_.object->references;
  }
  void release() {
    if (has_object() && --bits_.object->references == 0) delete bits_.object;
  }

  Type type_ = Type::kMissing;
  union {
    int64_t integer;
    double real;
    Object* object;
  } bits_ = {0};
};

struct String : Object {
  String(std::string value, bool is_markup);
  std::string text;  // valid UTF-8
  bool ascii = false;
  bool markup = false;
};

struct ExactNumber : Object {
  explicit ExactNumber(std::string number);
  std::string text;
  bool integer = false;  // rather than a decimal
  double nearest = 0;
};

struct List : Object {
  explicit List(Values values);
  Values elements;
  bool group = false;  // of groupby: also has the attributes grouper and list
};

// Insertion-ordered. Keys are hashable values; True, 1 and 1.0 are one key, as in Python.
struct Dict : Object {
  Dict() = default;
  void set(const Value& key, const Value& value);  // throws on an unhashable key
  const Value* find(const Value& key) const;       // null when absent; throws on an unhashable key
  const Value* find(std::string_view key) const;
  std::vector<std::pair<Value, Value>> entries;

 private:
  int64_t position(const Value& key, size_t hash) const;
  std::unordered_multimap<size_t, uint32_t> index_;  // hash -> entry, once there are more than a few
};

struct Range : Object {
  Range(int64_t first, int64_t end, int64_t by);
  int64_t start, stop, step;
  int64_t length;
};

struct DictView : Object {
  enum class Kind { kKeys, kValues, kItems };
  DictView(Kind which, const Value& of);
  Kind kind;
  Value dict;
};

// Yields each value once. Subclasses hold what they walk over.
struct Iterator : Object {
  virtual bool next(Value& out) = 0;
  virtual std::string_view type_name() const { return "generator"; }
};

struct Namespace : Object {
  Dict attributes;
};

Value make_dict(std::unique_ptr<Dict> dict);

// Python's name of the value's type, for messages.
std::string_view type_name(const Value& value);

bool truthy(const Value& value);
bool equals(const Value& a, const Value& b);
// -1, 0, 1 for a < b, a == b, a > b; 2 when unordered (NaN). Throws when the types have no order.
// `symbol` is the operator for the message.
int compare(const Value& a, const Value& b, std::string_view symbol = "<");
size_t hash_of(const Value& value);  // throws on an unhashable value

std::string to_str(const Value& value);   // Python's str()
std::string to_repr(const Value& value);  // Python's repr()
void append_str(std::string& out, const Value& value);
std::string repr_of_string(std::string_view text);
std::string repr_of_double(double value);

// len(), or -1 when the value has none.
int64_t length_of(const Value& value);

// Iterates as Python's iter() does; throws when the value is not iterable. A list's iterator holds the list.
Value iterate(const Value& value);
bool is_iterable(const Value& value);
Values collect(const Value& value);  // list(value)
bool contains(const Value& container, const Value& value);

}  // namespace glimmer::jinja
