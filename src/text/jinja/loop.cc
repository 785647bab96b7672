#include "text/jinja/loop.h"

#include "base/error.h"
#include "text/jinja/iterate.h"

namespace glimmer::jinja {
namespace {

// loop.cycle and loop.changed: functions bound to the loop.
struct LoopMethod : Callable {
  LoopMethod(std::string_view method_name, Value bound_loop, Value (*method)(Loop&, const Args&))
      : name(method_name), loop(std::move(bound_loop)), function(method) {
    charge(sizeof(*this));
  }
  Value call(Interpreter&, const Args& args) override { return function(static_cast<Loop&>(loop.as_callable()), args); }
  std::string_view type_name() const override { return "method"; }
  std::string repr() const override { return fmt::format("<bound method LoopContext.{}>", name); }

  std::string_view name;
  Value loop;
  Value (*function)(Loop&, const Args&);
};

}  // namespace

Loop::Loop(const Node& loop_node, std::shared_ptr<Activation> closure, const Value& items, int loop_depth)
    : node_(loop_node), closure_(std::move(closure)), iterable_(items), iterator_(iterate(items)), depth0_(loop_depth) {
  charge(sizeof(*this));
  contain(items);
}

bool Loop::advance(Value& item) {
  if (!after_.is_missing()) {
    item = std::exchange(after_, Value());
  } else if (at_end_ || !iterator_.as_iterator().next(item)) {
    at_end_ = true;
    return false;
  }
  ++index0_;
  before_ = std::exchange(current_, item);
  return true;
}

// The next item, or missing at the end.
const Value& Loop::peek() const {
  if (after_.is_missing() && !at_end_) at_end_ = !iterator_.as_iterator().next(after_);
  if (at_end_) after_ = Value();
  return after_;
}

int64_t Loop::length() const {
  if (length_ >= 0) return length_;
  length_ = length_of(iterable_);
  if (length_ < 0) {  // a generator: its rest is taken now
    Values rest;
    Value item;
    while (!at_end_ && iterator_.as_iterator().next(item)) rest.push_back(item);
    length_ = static_cast<int64_t>(rest.size()) + index0_ + 1 + (after_.is_missing() ? 0 : 1);
    iterator_ = iterate_items(std::move(rest), "list_iterator");
  }
  return length_;
}

Value Loop::call(Interpreter& interpreter, const Args& args) {
  if (!node_.recursive) {
    fail(ErrorCode::kInvalid, "The loop must have the 'recursive' marker to be called recursively.");
  }
  const Values bound = args.bind("loop", {"iterable"}, 1);
  return interpreter.render_loop(node_, closure_, bound[0], depth0_ + 1);
}

std::string Loop::repr() const { return fmt::format("<LoopContext {}/{}>", index0_ + 1, length()); }

Value Loop::cycle(const Args& args) const {
  if (!args.keywords.empty()) fail(ErrorCode::kInvalid, "loop.cycle() takes no keyword arguments");
  if (args.positional.empty()) fail(ErrorCode::kInvalid, "no items for cycling given");
  const size_t count = args.positional.size();
  return args.positional[static_cast<size_t>(index0_ < 0 ? 0 : index0_) % count];
}

Value Loop::changed(const Args& args) {
  const Value given = Value::tuple(args.positional);
  if (!last_changed_.is_missing() && equals(last_changed_, given)) return Value::boolean(false);
  last_changed_ = given;
  return Value::boolean(true);
}

Value Loop::method(std::string_view name) {
  const Value self = Value::object(Type::kCallable, this);
  const auto function = name == "cycle" ? +[](Loop& loop, const Args& args) { return loop.cycle(args); }
                                        : +[](Loop& loop, const Args& args) { return loop.changed(args); };
  return Value::object(Type::kCallable, new LoopMethod(name, self, function));
}

Value Loop::attribute(std::string_view name) {
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "index0") return Value::integer(index0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(peek().is_missing());
  if (name == "length") return Value::integer(length());
  if (name == "revindex") return Value::integer(length() - index0_);
  if (name == "revindex0") return Value::integer(length() - index0_ - 1);
  if (name == "depth") return Value::integer(depth0_ + 1);
  if (name == "depth0") return Value::integer(depth0_);
  if (name == "previtem") return index0_ == 0 ? Value::undefined("there is no previous item") : before_;
  if (name == "nextitem") return peek().is_missing() ? Value::undefined("there is no next item") : peek();
  if (name == "cycle" || name == "changed") return method(name == "cycle" ? "cycle" : "changed");
  return {};
}

}  // namespace glimmer::jinja
