// The `loop` variable of a for loop.
#pragma once

#include <memory>

#include "text/jinja/interpreter.h"

namespace glimmer::jinja {

// Walks over the items for the loop and knows its neighbours. Calling it renders a recursive loop one level down.
struct Loop : Callable {
  // `closure` is where a recursive loop was written; null when it is not recursive.
  Loop(const Node& loop_node, std::shared_ptr<Activation> closure, const Value& items, int loop_depth);

  bool advance(Value& item);                          // the next round; false at the end
  void forget_changes() { last_changed_ = Value(); }  // which may hold the loop itself

  Value call(Interpreter& interpreter, const Args& args) override;
  std::string_view type_name() const override { return "LoopContext"; }
  std::string repr() const override;
  Value attribute(std::string_view name) override;
  int64_t length() const override;

 private:
  const Value& peek() const;
  Value cycle(const Args& args) const;
  Value changed(const Args& args);
  Value method(std::string_view name);

  const Node& node_;
  std::shared_ptr<Activation> closure_;
  Value iterable_;
  mutable Value iterator_;
  mutable Value after_;  // the item behind the current one, once it was asked for
  mutable bool at_end_ = false;
  mutable int64_t length_ = -1;
  Value before_;
  Value current_;
  Value last_changed_;
  int64_t index0_ = -1;
  int depth0_;
};

}  // namespace glimmer::jinja
