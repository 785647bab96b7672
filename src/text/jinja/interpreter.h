// Evaluates a resolved template. One Interpreter renders once, on one thread.
#pragma once

#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/budget.h"
#include "text/jinja/callable.h"
#include "text/jinja/value.h"

namespace glimmer::jinja {

// The names of one call of one function of the template. Macros keep the activation that they were defined in, and it
// keeps them: such cycles are broken at the end of the render, for which all activations are linked together.
struct Activation {
  Activation(uint32_t slot_count, std::shared_ptr<Activation> outer_activation, Activation*& first);
  ~Activation();
  void unlink();

  Values slots;
  std::shared_ptr<Activation> outer;
  size_t charged_bytes;
  Activation** owner;  // the pointer that points to this, null when unlinked
  Activation* next;
};

class Interpreter {
 public:
  // `inputs` are the template's arguments. Everything given must outlive the interpreter.
  Interpreter(const Template& parsed, const Dict& inputs, const std::function<std::tm()>& clock, Budget& budget);
  ~Interpreter();

  // The whole output. Throws Error "source:line: message".
  std::string run();

  // For filters and callables.
  Value call(const Value& callee, const Args& args);
  Value call_filter(std::string_view name, const Value& value, const Args& args);
  bool call_test(std::string_view name, const Value& value, const Args& args);
  Value call_macro(const Node& node, const std::shared_ptr<Activation>& closure, const Args& args,
                   std::string_view name);
  Value render_loop(const Node& node, const std::shared_ptr<Activation>& closure, const Value& iterable, int depth);
  std::tm local_time() const { return clock_(); }

  // Remembers a namespace, whose members may form a cycle, to empty it at the end.
  void track(const Value& mutable_object) { tracked_.push_back(mutable_object); }

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  struct ScopedActivation;
  struct ScopedOutput;

  // Statements (interpreter.cc)
  Flow execute_all(const Nodes& nodes);
  Flow execute(const Node& node);
  Flow execute_if(const Node& node);
  void execute_for(const Node& node);
  void iterate_body(const Node& node, const Value& iterable, int depth);
  Flow execute_capture(const Node& node);
  Flow execute_with(const Node& node);
  void execute_block(const Node& node);
  void execute_call_block(const Node& node);
  void execute_generation(const Node& node);
  Value filtered(const Node& node, const Value& iterable);
  void define_macro(const Node& node);
  void assign(const Node& target, const Value& value);
  void check_namespaces(const Node& target);
  void export_names(const Node& target);
  void bind_parameters(const Node& node, const Args& args, std::string_view name, Values& slots);
  void enter(const Scope& scope);
  void leave(const Scope& scope);
  void write(std::string_view text);

  // Expressions (interpreter_expression.cc)
  Value evaluate(const Node& node);
  Value evaluate_name(const Node& node);
  Value evaluate_items(const Node& node, Type type);
  Value evaluate_dict(const Node& node);
  Value evaluate_concat(const Node& node);
  Value evaluate_compare(const Node& node);
  Value evaluate_binary(const Node& node);
  Value evaluate_item(const Node& node);
  Value evaluate_filter(const Node& node);
  Value evaluate_test(const Node& node);
  Value evaluate_call(const Node& node, const Value* caller);
  Args evaluate_arguments(const Node& node);
  void expand_keywords(Args& args, const Value& mapping);
  Value constant(const Node& node);

  Value lookup(const std::string& name) const;
  Value& slot(const SlotRef& ref);
  std::shared_ptr<Activation> activate(uint32_t slot_count, const std::shared_ptr<Activation>& outer);
  void check_depth();

  const Template& template_;
  const Dict& inputs_;
  const std::function<std::tm()>& clock_;
  Budget& budget_;
  Activation* activations_ = nullptr;  // all that live
  std::shared_ptr<Activation> activation_;
  Values tracked_;
  Values constants_;
  std::map<std::string, Value> exported_;  // top-level names, for blocks
  std::string* out_ = nullptr;
  Value block_text_;  // what the innermost filter of a filter or set block is applied to
  int line_ = 1;
  int call_depth_ = 0;
};

}  // namespace glimmer::jinja
