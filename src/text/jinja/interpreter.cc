// Statements.
#include "text/jinja/interpreter.h"

#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "text/jinja/iterate.h"
#include "text/jinja/loop.h"
#include "text/jinja/operators.h"

namespace glimmer::jinja {

// Runs in another activation until the end of its scope.
struct Interpreter::ScopedActivation {
  ScopedActivation(Interpreter& owner, std::shared_ptr<Activation> activation)
      : interpreter(owner), outer(std::exchange(owner.activation_, std::move(activation))) {}
  ~ScopedActivation() { interpreter.activation_ = std::move(outer); }
  Interpreter& interpreter;
  std::shared_ptr<Activation> outer;
};

// Collects output in a string of its own until the end of its scope.
struct Interpreter::ScopedOutput {
  explicit ScopedOutput(Interpreter& owner) : interpreter(owner), outer(std::exchange(owner.out_, &text)) {}
  ~ScopedOutput() { interpreter.out_ = outer; }
  Interpreter& interpreter;
  std::string text;
  std::string* outer;
};

namespace {

struct Macro : Callable {
  Macro(const Node& macro_node, std::shared_ptr<Activation> defined_in)
      : node(macro_node), closure(std::move(defined_in)) {
    charge(sizeof(*this));
  }
  Value call(Interpreter& interpreter, const Args& args) override {
    return interpreter.call_macro(node, closure, args, name());
  }
  std::string_view type_name() const override { return "Macro"; }
  std::string repr() const override {
    return node.kind == NodeKind::kMacro ? fmt::format("<Macro '{}'>", node.text) : "<Macro anonymous>";
  }
  Value attribute(std::string_view attribute_name) override {
    if (attribute_name == "name") return node.kind == NodeKind::kMacro ? Value::string(node.text) : Value::none();
    if (attribute_name == "catch_kwargs") return Value::boolean(node.signature.kwargs_slot >= 0);
    if (attribute_name == "catch_varargs") return Value::boolean(node.signature.varargs_slot >= 0);
    if (attribute_name == "caller") return Value::boolean(node.signature.caller_slot >= 0);
    if (attribute_name != "arguments") return {};
    Values names;
    for (const NodePtr& parameter : node.items) names.push_back(Value::string(parameter->text));
    return Value::tuple(std::move(names));
  }
  std::string_view name() const { return node.kind == NodeKind::kMacro ? std::string_view(node.text) : "None"; }

  const Node& node;
  std::shared_ptr<Activation> closure;
};

}  // namespace

Interpreter::Interpreter(const Template& parsed, const Dict& inputs, const std::function<std::tm()>& clock,
                         Budget& budget)
    : template_(parsed), inputs_(inputs), clock_(clock), budget_(budget), constants_(parsed.constant_count) {}

Activation::Activation(uint32_t slot_count, std::shared_ptr<Activation> outer_activation, Activation*& first)
    : outer(std::move(outer_activation)), charged_bytes(sizeof(Activation) + slot_count * sizeof(Value)) {
  Budget::current()->allocate(charged_bytes);
  Budget::current()->work(charged_bytes);
  slots.resize(slot_count);
  owner = &first;
  next = first;
  if (next != nullptr) next->owner = &next;
  first = this;
}

Activation::~Activation() {
  unlink();
  Budget::current()->release(charged_bytes);
}

void Activation::unlink() {
  if (owner == nullptr) return;
  *owner = next;
  if (next != nullptr) next->owner = owner;
  owner = nullptr;
}

Interpreter::~Interpreter() {
  while (activations_ != nullptr) {
    const Values slots = std::move(activations_->slots);  // destroyed when the list is in order again
    activations_->unlink();
  }
  for (const Value& value : tracked_) value.as_namespace().attributes.entries.clear();
}

std::string Interpreter::run() {
  std::string text;
  out_ = &text;
  activation_ = activate(template_.slot_count, nullptr);
  try {
    enter(template_.scope);
    execute_all(template_.body);
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("{}:{}: {}", template_.source, line_, error.what()));
  }
  return text;
}

void Interpreter::write(std::string_view text) {
  budget_.work(text.size());
  *out_ += text;
  budget_.check_string(out_->size());
}

Value Interpreter::lookup(const std::string& name) const {
  if (const auto exported = exported_.find(name); exported != exported_.end()) return exported->second;
  if (const Value* input = inputs_.find(std::string_view(name))) return *input;
  return find_global(name);
}

Value& Interpreter::slot(const SlotRef& ref) {
  Activation* activation = activation_.get();
  for (uint32_t i = 0; i < ref.hops; ++i) activation = activation->outer.get();
  return activation->slots[ref.index];
}

void Interpreter::enter(const Scope& scope) {
  for (const SlotLoad& load : scope.loads) {
    switch (load.action) {
      case SlotLoad::Action::kParameter:
        break;
      case SlotLoad::Action::kResolve:
        activation_->slots[load.slot] = lookup(load.name);
        break;
      case SlotLoad::Action::kAlias:
        activation_->slots[load.slot] = slot(load.alias);
        break;
      case SlotLoad::Action::kUndefined:
        activation_->slots[load.slot] = Value();
        break;
    }
  }
}

void Interpreter::leave(const Scope& scope) {
  for (const SlotLoad& load : scope.loads) activation_->slots[load.slot] = Value();
}

std::shared_ptr<Activation> Interpreter::activate(uint32_t slot_count, const std::shared_ptr<Activation>& outer) {
  return std::make_shared<Activation>(slot_count, outer, activations_);
}

Interpreter::Flow Interpreter::execute_all(const Nodes& nodes) {
  for (const NodePtr& node : nodes) {
    if (const Flow flow = execute(*node); flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute(const Node& node) {
  budget_.step();
  budget_.check_stack();
  line_ = node.line;
  switch (node.kind) {
    case NodeKind::kText:
      write(node.text);
      break;
    case NodeKind::kOutput: {
      const Value value = evaluate(*node.first);
      budget_.step();
      append_str(*out_, value);
      break;
    }
    case NodeKind::kDo:
      evaluate(*node.first);
      break;
    case NodeKind::kSet: {
      check_namespaces(*node.first);
      const Value value = evaluate(*node.second);
      line_ = node.line;
      assign(*node.first, value);
      if (node.toplevel) export_names(*node.first);
      break;
    }
    case NodeKind::kIf:
      return execute_if(node);
    case NodeKind::kFor:
      execute_for(node);
      break;
    case NodeKind::kMacro:
      define_macro(node);
      break;
    case NodeKind::kSetBlock:
    case NodeKind::kFilterBlock:
      return execute_capture(node);
    case NodeKind::kWith:
      return execute_with(node);
    case NodeKind::kCallBlock:
      execute_call_block(node);
      break;
    case NodeKind::kGeneration:
      execute_generation(node);
      break;
    case NodeKind::kBlock:
      execute_block(node);
      break;
    case NodeKind::kBreak:
      return Flow::kBreak;
    case NodeKind::kContinue:
      return Flow::kContinue;
    default:
      GLIMMER_CHECK(false, "not a statement: {}", static_cast<int>(node.kind));
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute_if(const Node& node) {
  if (truthy(evaluate(*node.first))) return execute_all(node.body);
  for (const NodePtr& branch : node.items) {
    if (truthy(evaluate(*branch->first))) return execute_all(branch->body);
  }
  return execute_all(node.orelse);
}

// jinja2 checks every ns.x of a target before it evaluates the right side.
void Interpreter::check_namespaces(const Node& target) {
  if (target.kind == NodeKind::kTuple) {
    for (const NodePtr& item : target.items) check_namespaces(*item);
  } else if (target.kind == NodeKind::kNsRef && !slot(target.slot).is(Type::kNamespace)) {
    fail(ErrorCode::kInvalid, "cannot assign attribute '{}' on '{}', which is not a namespace", target.attribute,
         target.text);
  }
}

void Interpreter::assign(const Node& target, const Value& value) {
  if (target.kind == NodeKind::kName) {
    slot(target.slot) = value;
    return;
  }
  if (target.kind == NodeKind::kNsRef) {
    const Value name_space = slot(target.slot);
    if (!name_space.is(Type::kNamespace)) fail(ErrorCode::kInvalid, "'{}' is not a namespace", target.text);
    name_space.as_namespace().attributes.set(Value::string(target.attribute), value);
    return;
  }
  const Values items = collect(value);
  if (items.size() != target.items.size()) {
    fail(ErrorCode::kInvalid, "{} values to unpack (expected {}, got {})",
         items.size() < target.items.size() ? "not enough" : "too many", target.items.size(), items.size());
  }
  for (size_t i = 0; i < items.size(); ++i) assign(*target.items[i], items[i]);
}

void Interpreter::export_names(const Node& target) {
  if (!template_.has_blocks) return;
  if (target.kind == NodeKind::kName) exported_[target.text] = slot(target.slot);
  for (const NodePtr& item : target.items) export_names(*item);
}

void Interpreter::execute_for(const Node& node) {
  const Value iterable = evaluate(*node.second);
  line_ = node.line;
  if (node.recursive) {
    write(render_loop(node, activation_, iterable, 0).text());
    return;
  }
  iterate_body(node, iterable, 0);
}

// The items that pass the loop's own `if`, as a generator that runs in an activation of its own.
Value Interpreter::filtered(const Node& node, const Value& iterable) {
  const auto outer = node.recursive ? activation_->outer : activation_;
  const auto activation = activate(node.test_slots, outer);
  const Value source = iterate(iterable);
  bool entered = false;
  return make_generator(
      [this, &node, activation, source, entered](Value& out) mutable {
        const ScopedActivation scoped(*this, activation);
        if (!std::exchange(entered, true)) enter(node.test_scope);
        while (source.as_iterator().next(out)) {
          assign(*node.first, out);
          if (truthy(evaluate(*node.third))) return true;
        }
        return false;
      },
      {source});
}

void Interpreter::iterate_body(const Node& node, const Value& iterable, int depth) {
  const Value items = node.third == nullptr ? iterable : filtered(node, iterable);
  Loop* loop = nullptr;
  Value loop_value;
  if (node.loop_slot >= 0) {
    loop = new Loop(node, node.recursive ? activation_->outer : nullptr, items, depth);
    loop_value = Value::object(Type::kCallable, loop);
  }
  const std::unique_ptr<Loop, void (*)(Loop*)> finish(loop, [](Loop* ended) { ended->forget_changes(); });
  const Value iterator = loop == nullptr ? iterate(items) : Value();
  bool completed = false;  // a round that ran to its end: else the loop's else branch runs
  Value item;
  while (loop != nullptr ? loop->advance(item) : iterator.as_iterator().next(item)) {
    budget_.step();
    line_ = node.line;
    assign(*node.first, item);
    if (loop != nullptr) activation_->slots[static_cast<size_t>(node.loop_slot)] = loop_value;
    enter(node.scope);
    const Flow flow = execute_all(node.body);
    if (flow == Flow::kBreak) break;
    if (flow == Flow::kNormal) completed = true;
  }
  leave(node.scope);
  if (!completed && !node.orelse.empty()) {
    enter(node.else_scope);
    execute_all(node.orelse);
    leave(node.else_scope);
  }
}

Value Interpreter::render_loop(const Node& node, const std::shared_ptr<Activation>& closure, const Value& iterable,
                               int depth) {
  check_depth();
  ++call_depth_;
  const ScopedActivation scoped(*this, activate(node.slot_count, closure));
  ScopedOutput output(*this);
  iterate_body(node, iterable, depth);
  --call_depth_;
  return Value::string(std::move(output.text));
}

void Interpreter::define_macro(const Node& node) {
  slot(node.slot) = Value::object(Type::kCallable, new Macro(node, activation_));
  if (node.toplevel && template_.has_blocks) exported_[node.text] = slot(node.slot);
}

void Interpreter::check_depth() {
  if (call_depth_ >= budget_.limits().max_call_depth) {
    fail(ErrorCode::kLimit, "macros or recursive loops are called more than {} deep", budget_.limits().max_call_depth);
  }
}

// Positional arguments first, keywords for the rest, as jinja2's Macro does.
void Interpreter::bind_parameters(const Node& node, const Args& args, std::string_view name, Values& slots) {
  const MacroSignature& signature = node.signature;
  const size_t parameters = signature.parameters.size();
  auto keywords = args.keywords;
  const auto take_keyword = [&keywords](std::string_view key) {
    for (auto it = keywords.begin(); it != keywords.end(); ++it) {
      if (it->first != key) continue;
      Value value = it->second;
      keywords.erase(it);
      return value;
    }
    return Value();
  };
  const size_t given = std::min(parameters, args.positional.size());
  for (size_t i = 0; i < parameters; ++i) {
    slots[signature.parameters[i].index] = i < given ? args.positional[i] : take_keyword(node.items[i]->text);
  }
  if (signature.caller_slot >= 0) {
    Value caller = take_keyword("caller");
    const bool absent = caller.is_missing() || caller.is_none();
    slots[static_cast<size_t>(signature.caller_slot)] = absent ? Value::undefined("No caller defined") : caller;
  }
  if (signature.kwargs_slot >= 0) {
    auto dict = std::make_unique<Dict>();
    for (const auto& [key, value] : keywords) dict->set(Value::string(key), value);
    slots[static_cast<size_t>(signature.kwargs_slot)] = make_dict(std::move(dict));
  } else if (!keywords.empty()) {
    fail(ErrorCode::kInvalid, "macro '{}' takes no keyword argument '{}'", name, keywords[0].first);
  }
  if (signature.varargs_slot >= 0) {
    Values rest(args.positional.begin() + static_cast<long>(given), args.positional.end());
    slots[static_cast<size_t>(signature.varargs_slot)] = Value::tuple(std::move(rest));
  } else if (args.positional.size() > parameters) {
    fail(ErrorCode::kInvalid, "macro '{}' takes not more than {} argument(s)", name, parameters);
  }
}

Value Interpreter::call_macro(const Node& node, const std::shared_ptr<Activation>& closure, const Args& args,
                              std::string_view name) {
  check_depth();
  const auto activation = activate(node.slot_count, closure);
  bind_parameters(node, args, name, activation->slots);
  ++call_depth_;
  const ScopedActivation scoped(*this, activation);
  ScopedOutput output(*this);
  enter(node.scope);
  const size_t first_default = node.items.size() - node.defaults.size();
  for (size_t i = 0; i < node.items.size(); ++i) {
    const SlotRef parameter = node.signature.parameters[i];
    if (!slot(parameter).is_missing()) continue;
    const std::string& parameter_name = node.items[i]->text;
    Value value = i >= first_default ? evaluate(*node.defaults[i - first_default])
                                     : Value::undefined(fmt::format("parameter '{}' was not provided", parameter_name));
    slot(parameter) = std::move(value);
  }
  execute_all(node.body);
  --call_depth_;
  return Value::string(std::move(output.text));
}

void Interpreter::execute_call_block(const Node& node) {
  const Value caller = Value::object(Type::kCallable, new Macro(node, activation_));
  const Value result = evaluate_call(*node.first, &caller);
  append_str(*out_, result);
}

void Interpreter::execute_generation(const Node& node) {
  const ScopedActivation scoped(*this, activate(node.slot_count, activation_));
  if (node.signature.caller_slot >= 0) {
    activation_->slots[static_cast<size_t>(node.signature.caller_slot)] = Value::undefined("No caller defined");
  }
  enter(node.scope);
  execute_all(node.body);
}

void Interpreter::execute_block(const Node& node) {
  const ScopedActivation scoped(*this, activate(node.slot_count, nullptr));
  enter(node.scope);
  execute_all(node.body);
}

// {% set x | filter %}...{% endset %}, {% filter f %}...{% endfilter %}
Interpreter::Flow Interpreter::execute_capture(const Node& node) {
  const bool is_set = node.kind == NodeKind::kSetBlock;
  if (is_set) check_namespaces(*node.first);
  Value result;
  {
    ScopedOutput output(*this);
    enter(node.scope);
    if (const Flow flow = execute_all(node.body); flow != Flow::kNormal) return flow;
    result = Value::string(std::move(output.text));
    const Node* filter = is_set ? node.second.get() : node.first.get();
    if (filter != nullptr) {
      const Value outer = std::exchange(block_text_, result);
      result = evaluate(*filter);
      block_text_ = outer;
    }
  }
  if (is_set) {
    line_ = node.line;
    assign(*node.first, result);
    if (node.toplevel) export_names(*node.first);
  } else {
    append_str(*out_, result);
  }
  leave(node.scope);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute_with(const Node& node) {
  // Entered first, then assigned one by one: the values see the scope outside.
  enter(node.scope);
  for (size_t i = 0; i < node.items.size(); ++i) assign(*node.items[i], evaluate(*node.defaults[i]));
  const Flow flow = execute_all(node.body);
  leave(node.scope);
  return flow;
}

}  // namespace glimmer::jinja
