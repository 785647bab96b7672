// The global functions of a template.
#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja/budget.h"
#include "text/jinja/callable.h"
#include "text/jinja/interpreter.h"

namespace glimmer::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // jinja2's sandbox has the same

struct GlobalFunction : Callable {
  explicit GlobalFunction(const NamedFunction& function) : entry(function) { charge(sizeof(*this)); }
  Value call(Interpreter& interpreter, const Args& args) override {
    return entry.function(Call{interpreter, entry.name, Value(), args});
  }
  std::string_view type_name() const override { return "function"; }
  std::string repr() const override { return fmt::format("<function {}>", entry.name); }
  const NamedFunction& entry;
};

// dict(mapping or pairs, **keywords), into `dict`.
void fill_dict(const Call& call, Dict& dict) {
  if (call.args.positional.size() > 1) {
    fail(ErrorCode::kInvalid, "{}() takes at most 1 positional argument ({} given)", call.name,
         call.args.positional.size());
  }
  for (const Value& source : call.args.positional) {
    if (source.is(Type::kDict)) {
      for (const auto& [key, value] : source.as_dict().entries) dict.set(key, value);
      continue;
    }
    for (const Value& pair : collect(source)) {
      const Values parts = collect(pair);
      if (parts.size() != 2) {
        fail(ErrorCode::kInvalid, "{}(): an item has length {}; 2 is required", call.name, parts.size());
      }
      dict.set(parts[0], parts[1]);
    }
  }
  for (const auto& [key, value] : call.args.keywords) dict.set(Value::string(key), value);
}

Value global_dict(const Call& call) {
  auto dict = std::make_unique<Dict>();
  fill_dict(call, *dict);
  return make_dict(std::move(dict));
}

Value global_namespace(const Call& call) {
  auto* object = new Namespace;
  const Value value = Value::object(Type::kNamespace, object);
  object->charge(sizeof(Namespace));
  call.interpreter.track(value);
  fill_dict(call, object->attributes);
  return value;
}

Value global_range(const Call& call) {
  if (!call.args.keywords.empty()) fail(ErrorCode::kInvalid, "range() takes no keyword arguments");
  const Values args = call.bind({"start", "stop", "step"}, 1);
  const auto number = [&](size_t i) {
    return int_argument(args[i], "range", i == 0 ? "start" : i == 1 ? "stop" : "step");
  };
  const int64_t step = args[2].is_missing() ? 1 : number(2);
  if (step == 0) fail(ErrorCode::kInvalid, "range() arg 3 must not be zero");
  auto* range = args[1].is_missing() ? new Range(0, number(0), 1) : new Range(number(0), number(1), step);
  const Value value = Value::object(Type::kRange, range);
  if (range->length > kMaxRange) {
    fail(ErrorCode::kLimit, "range() of {} items is too big; templates may have {}", range->length, kMaxRange);
  }
  return value;
}

struct Joiner : Callable {
  explicit Joiner(Value separator_value) : separator(std::move(separator_value)) { charge(sizeof(*this)); }
  Value call(Interpreter&, const Args& args) override {
    args.bind("joiner", {});
    if (std::exchange(used, true)) return separator;
    return Value::string("");
  }
  std::string_view type_name() const override { return "Joiner"; }
  std::string repr() const override { return "<jinja2.utils.Joiner object>"; }
  Value attribute(std::string_view name) override {
    if (name == "sep") return separator;
    return name == "used" ? Value::boolean(used) : Value();
  }
  Value separator;
  bool used = false;
};

Value global_joiner(const Call& call) {
  const Values args = call.bind({"sep"});
  return Value::object(Type::kCallable, new Joiner(args[0].is_missing() ? Value::string(", ") : args[0]));
}

// cycler(...): an object with next(), reset() and current; it cannot be called itself.
struct Cycler : Callable {
  explicit Cycler(Value all) : items(std::move(all)) {
    charge(sizeof(*this));
    contain(items);
  }
  Value call(Interpreter&, const Args&) override { fail(ErrorCode::kInvalid, "'Cycler' object is not callable"); }
  std::string_view type_name() const override { return "Cycler"; }
  std::string repr() const override { return "<jinja2.utils.Cycler object>"; }
  Value attribute(std::string_view name) override;
  const Value& current() const { return items.items()[position]; }

  Value items;
  size_t position = 0;
};

struct CyclerMethod : Callable {
  CyclerMethod(Value bound, bool resets) : cycler(std::move(bound)), reset(resets) { charge(sizeof(*this)); }
  Value call(Interpreter&, const Args& args) override {
    args.bind(reset ? "reset" : "next", {});
    auto& target = static_cast<Cycler&>(cycler.as_callable());
    const Value current = target.current();
    target.position = reset ? 0 : (target.position + 1) % target.items.items().size();
    return reset ? Value::none() : current;
  }
  std::string_view type_name() const override { return "method"; }
  std::string repr() const override { return "<bound method of Cycler>"; }
  Value cycler;
  bool reset;
};

Value Cycler::attribute(std::string_view name) {
  if (name == "current") return current();
  if (name == "items") return items;
  if (name == "pos") return Value::integer(static_cast<int64_t>(position));
  if (name != "next" && name != "reset") return {};
  return Value::object(Type::kCallable, new CyclerMethod(Value::object(Type::kCallable, this), name == "reset"));
}

Value global_cycler(const Call& call) {
  if (!call.args.keywords.empty()) fail(ErrorCode::kInvalid, "cycler() takes no keyword arguments");
  if (call.args.positional.empty()) fail(ErrorCode::kInvalid, "at least one item has to be provided to cycler()");
  return Value::object(Type::kCallable, new Cycler(Value::tuple(call.args.positional)));
}

Value global_raise_exception(const Call& call) {
  const Values args = call.bind({"message"}, 1);
  fail(ErrorCode::kInvalid, "{}", to_str(args[0]));
}

Value global_strftime_now(const Call& call) {
  const Values args = call.bind({"format"}, 1);
  const std::string& format = string_argument(args[0], "strftime_now", "format");
  if (format.empty()) return Value::string("");
  const std::tm now = call.interpreter.local_time();
  std::string out(std::min<size_t>(format.size() * 16 + 64, size_t{1} << 20), '\0');
  const size_t size = std::strftime(out.data(), out.size(), format.c_str(), &now);
  out.resize(size);
  return Value::string(to_valid_utf8(out));
}

constexpr NamedFunction kGlobals[] = {
    {"cycler", global_cycler},
    {"dict", global_dict},
    {"joiner", global_joiner},
    {"namespace", global_namespace},
    {"raise_exception", global_raise_exception},
    {"range", global_range},
    {"strftime_now", global_strftime_now},
};

}  // namespace

Value find_global(std::string_view name) {
  for (const NamedFunction& function : kGlobals) {
    if (function.name == name) return Value::object(Type::kCallable, new GlobalFunction(function));
  }
  return {};
}

}  // namespace glimmer::jinja
