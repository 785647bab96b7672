#include "text/jinja/resolver.h"

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "text/jinja/callable.h"

namespace glimmer::jinja {
namespace {

// A function of the compiled template: its slots are keyed by (scope level, name), so scopes side by side share them.
struct FunctionInfo {
  FunctionInfo* outer = nullptr;
  std::map<std::pair<int, std::string>, uint32_t> slots;

  uint32_t slot(int level, const std::string& name) {
    return slots.emplace(std::pair(level, name), static_cast<uint32_t>(slots.size())).first->second;
  }
};

struct Ref {
  FunctionInfo* function = nullptr;
  uint32_t slot = 0;
  bool operator<(const Ref& other) const { return std::tie(function, slot) < std::tie(other.function, other.slot); }
};

struct Load {
  SlotLoad::Action action = SlotLoad::Action::kUndefined;
  Ref alias;
  std::string name;
};

// jinja2's Symbols: the names of one scope.
struct Symbols {
  Symbols* parent = nullptr;
  FunctionInfo* function = nullptr;
  int level = 0;
  std::map<std::string, Ref> refs;
  std::map<Ref, Load> loads;
  std::set<std::string> stores;

  const Ref* find_ref(const std::string& name) const {
    const auto it = refs.find(name);
    if (it != refs.end()) return &it->second;
    return parent == nullptr ? nullptr : parent->find_ref(name);
  }
  Ref define(const std::string& name, Load how) {
    const Ref ref{function, function->slot(level, name)};
    refs[name] = ref;
    loads[ref] = std::move(how);
    return ref;
  }
  void load(const std::string& name) {
    if (find_ref(name) == nullptr) define(name, {SlotLoad::Action::kResolve, {}, name});
  }
  void store(const std::string& name) {
    stores.insert(name);
    if (refs.contains(name)) return;
    const Ref* outer = parent == nullptr ? nullptr : parent->find_ref(name);
    define(name, outer == nullptr ? Load{} : Load{SlotLoad::Action::kAlias, *outer, {}});
  }
  Ref declare_parameter(const std::string& name) {
    stores.insert(name);
    return define(name, {SlotLoad::Action::kParameter, {}, {}});
  }
  // After the branches of an if: a name stored in some of them must have a value in the others too.
  void merge_branches(const std::vector<Symbols>& branches) {
    std::set<std::string> stored;
    for (const Symbols& branch : branches) stored.insert(branch.stores.begin(), branch.stores.end());
    for (const std::string& name : stores) stored.erase(name);
    for (const Symbols& branch : branches) {
      for (const auto& [name, ref] : branch.refs) refs[name] = ref;
      for (const auto& [ref, how] : branch.loads) loads[ref] = how;
      stores.insert(branch.stores.begin(), branch.stores.end());
    }
    for (const std::string& name : stored) {
      const Ref* target = find_ref(name);
      const Ref* outer = parent == nullptr ? nullptr : parent->find_ref(name);
      loads[*target] =
          outer == nullptr ? Load{SlotLoad::Action::kResolve, {}, name} : Load{SlotLoad::Action::kAlias, *outer, {}};
    }
  }
};

// Each branch of an if starts from a copy of its scope's names; many of both would take for ever.
constexpr size_t kMaxCopiedNames = 1'000'000;
thread_local size_t t_copied_names = 0;

void charge_copies(size_t names) {
  t_copied_names += names;
  if (t_copied_names > kMaxCopiedNames) fail(ErrorCode::kLimit, "the template has too many names and conditions");
}

// Collects the names that a statement's own scope sees; scopes inside it are left to themselves.
void collect_names(Node& node, Symbols& symbols, bool as_parameter = false) {
  const auto visit_all = [&](Nodes& nodes, Symbols& into) {
    for (NodePtr& child : nodes) collect_names(*child, into);
  };
  switch (node.kind) {
    case NodeKind::kName:
      if (as_parameter || node.context == NameContext::kParameter) {
        symbols.declare_parameter(node.text);
      } else if (node.context == NameContext::kStore) {
        symbols.store(node.text);
      } else {
        symbols.load(node.text);
      }
      return;
    case NodeKind::kNsRef:
      symbols.load(node.text);
      return;
    case NodeKind::kIf: {
      collect_names(*node.first, symbols);
      charge_copies(3 * (symbols.refs.size() + symbols.loads.size() + symbols.stores.size()));
      std::vector<Symbols> branches(3, symbols);
      visit_all(node.body, branches[0]);
      visit_all(node.items, branches[1]);
      visit_all(node.orelse, branches[2]);
      symbols.merge_branches(branches);
      return;
    }
    case NodeKind::kMacro:
      symbols.store(node.text);
      return;
    case NodeKind::kSet:
      collect_names(*node.second, symbols);
      collect_names(*node.first, symbols);
      return;
    case NodeKind::kFor:
      collect_names(*node.second, symbols);
      return;
    case NodeKind::kCallBlock:
    case NodeKind::kFilterBlock:
    case NodeKind::kSetBlock:
      collect_names(*node.first, symbols);
      return;
    case NodeKind::kWith:
      visit_all(node.defaults, symbols);
      return;
    case NodeKind::kBlock:
    case NodeKind::kGeneration:
      return;
    default:
      for_each_child(node, [&](Node& child) { collect_names(child, symbols, as_parameter); });
  }
}

// Which of `names` the nodes read before they assign them, scopes aside.
void find_undeclared(Node& node, std::set<std::string>& names, std::set<std::string>& undeclared) {
  if (node.kind == NodeKind::kBlock) return;
  if (node.kind == NodeKind::kName) {
    if (node.context == NameContext::kLoad && names.contains(node.text)) {
      undeclared.insert(node.text);
    } else {
      names.erase(node.text);
    }
    return;
  }
  for_each_child(node, [&](Node& child) { find_undeclared(child, names, undeclared); });
}

std::set<std::string> undeclared_in(Nodes& nodes, std::set<std::string> names) {
  std::set<std::string> undeclared;
  for (NodePtr& node : nodes) find_undeclared(*node, names, undeclared);
  return undeclared;
}

bool stores_loop(Node& node) {
  if (node.kind == NodeKind::kName && node.context == NameContext::kStore && node.text == "loop") return true;
  bool found = false;
  for_each_child(node, [&found](Node& child) { found = found || stores_loop(child); });
  return found;
}

class Resolver {
 public:
  explicit Resolver(Template& parsed) : template_(parsed) {}

  void run() {
    FunctionInfo function;
    Symbols symbols = root(function);
    for (NodePtr& node : template_.body) collect_names(*node, symbols);
    visit_all(template_.body, symbols, false);
    template_.scope = scope_of(symbols);
    template_.slot_count = static_cast<uint32_t>(function.slots.size());
    template_.constant_count = constants_;
  }

 private:
  static Symbols root(FunctionInfo& function) {
    Symbols symbols;
    symbols.function = &function;
    return symbols;
  }
  static Symbols inner(Symbols& parent, FunctionInfo* function = nullptr) {
    Symbols symbols;
    symbols.parent = &parent;
    symbols.function = function == nullptr ? parent.function : function;
    symbols.level = parent.level + 1;
    return symbols;
  }

  [[noreturn]] void error(const Node& node, const std::string& message) const {
    fail(ErrorCode::kInvalid, "{}:{}: {}", template_.source, node.line, message);
  }

  static SlotRef locate(const Ref& ref, const FunctionInfo* from) {
    SlotRef result;
    result.index = ref.slot;
    for (const FunctionInfo* function = from; function != ref.function; function = function->outer) ++result.hops;
    return result;
  }

  static Scope scope_of(const Symbols& symbols) {
    Scope scope;
    for (const auto& [ref, how] : symbols.loads) {
      SlotLoad load;
      load.action = how.action;
      load.slot = ref.slot;
      load.name = how.name;
      if (how.action == SlotLoad::Action::kAlias) load.alias = locate(how.alias, symbols.function);
      scope.loads.push_back(std::move(load));
    }
    return scope;
  }

  void visit_all(Nodes& nodes, Symbols& symbols, bool soft) {
    for (NodePtr& node : nodes) visit(*node, symbols, soft);
  }

  void visit(Node& node, Symbols& symbols, bool soft) {
    switch (node.kind) {
      case NodeKind::kString:
      case NodeKind::kText:
        node.constant = constants_++;
        return;
      case NodeKind::kName:
      case NodeKind::kNsRef:
        symbols.load(node.text);  // known already, except to the filters of a set block
        node.slot = locate(*symbols.find_ref(node.text), symbols.function);
        return;
      case NodeKind::kFilter:
      case NodeKind::kTest:
        visit_filter_or_test(node, symbols, soft);
        return;
      case NodeKind::kConditional:
      case NodeKind::kIf:
        for_each_child(node, [&](Node& child) { visit(child, symbols, true); });
        return;
      case NodeKind::kFor:
        return visit_for(node, symbols, soft);
      case NodeKind::kSet:
        node.toplevel = symbols.parent == nullptr && !in_block_;
        for_each_child(node, [&](Node& child) { visit(child, symbols, soft); });
        return;
      case NodeKind::kMacro:
        node.toplevel = symbols.parent == nullptr && !in_block_;
        node.slot = locate(*symbols.find_ref(node.text), symbols.function);
        return visit_function(node, symbols);
      case NodeKind::kCallBlock:
        visit(*node.first, symbols, soft);
        return visit_function(node, symbols);
      case NodeKind::kGeneration:
        return visit_function(node, symbols);
      case NodeKind::kSetBlock:
      case NodeKind::kFilterBlock:
        return visit_capture(node, symbols, soft);
      case NodeKind::kWith:
        return visit_with(node, symbols, soft);
      case NodeKind::kBlock:
        return visit_block(node);
      default:
        for_each_child(node, [&](Node& child) { visit(child, symbols, soft); });
    }
  }

  void visit_filter_or_test(Node& node, Symbols& symbols, bool soft) {
    node.soft = soft;
    const bool filter = node.kind == NodeKind::kFilter;
    if (!soft && (filter ? find_filter(node.text) : find_test(node.text)) == nullptr) {
      error(node, filter ? fmt::format("unknown filter '{}'; known: {}", node.text, known_filters())
                         : fmt::format("unknown test '{}'; known: {}", node.text, known_tests()));
    }
    for_each_child(node, [&](Node& child) { visit(child, symbols, soft); });
  }

  // The loop's body, its filter and its else have a scope each; a recursive loop is a function.
  void visit_for(Node& node, Symbols& symbols, bool soft) {
    visit(*node.second, symbols, soft);
    if (stores_loop(node)) error(node, "can't assign to the special variable 'loop' inside a loop");
    FunctionInfo body_function{symbols.function, {}};
    FunctionInfo* function = node.recursive ? &body_function : symbols.function;
    Symbols body = inner(symbols, function);
    if (node.recursive || !undeclared_in(node.body, {"loop"}).empty()) {
      node.loop_slot = static_cast<int>(body.declare_parameter("loop").slot);
    }
    collect_names(*node.first, body, true);
    for (NodePtr& child : node.body) collect_names(*child, body);
    visit(*node.first, body, false);
    visit_all(node.body, body, false);
    node.scope = scope_of(body);

    Symbols orelse = inner(symbols, function);
    for (NodePtr& child : node.orelse) collect_names(*child, orelse);
    visit_all(node.orelse, orelse, false);
    node.else_scope = scope_of(orelse);
    if (node.recursive) node.slot_count = static_cast<uint32_t>(body_function.slots.size());
    if (node.third != nullptr) visit_loop_test(node, symbols, *function);
  }

  // The filter sees the target under the same (level, name) as the body does, in a function of its own. Its slots of
  // the target are numbered as in the body, so that the one resolved target serves both.
  void visit_loop_test(Node& node, Symbols& symbols, const FunctionInfo& body_function) {
    FunctionInfo function{symbols.function, {}};
    function.slots = body_function.slots;
    Symbols test = inner(symbols, &function);
    collect_names(*node.first, test, true);
    collect_names(*node.third, test);
    visit(*node.third, test, false);
    node.test_scope = scope_of(test);
    node.test_slots = static_cast<uint32_t>(function.slots.size());
  }

  // Macros, call blocks and {% generation %}.
  void visit_function(Node& node, Symbols& outer) {
    FunctionInfo function{outer.function, {}};
    Symbols symbols = inner(outer, &function);
    const auto collect = [&] {
      for (NodePtr& child : node.items) collect_names(*child, symbols);
      for (NodePtr& child : node.defaults) collect_names(*child, symbols);
      for (NodePtr& child : node.body) collect_names(*child, symbols);
    };
    collect();
    declare_special(node, symbols);
    collect();
    visit_all(node.items, symbols, false);
    for (const NodePtr& parameter : node.items) node.signature.parameters.push_back(parameter->slot);
    visit_all(node.defaults, symbols, false);
    visit_all(node.body, symbols, false);
    node.scope = scope_of(symbols);
    node.slot_count = static_cast<uint32_t>(function.slots.size());
  }

  void declare_special(Node& node, Symbols& symbols) {
    const std::set<std::string> used = undeclared_in(node.body, {"caller", "kwargs", "varargs"});
    std::set<std::string> parameters;
    size_t caller_index = 0;
    for (size_t i = 0; i < node.items.size(); ++i) {
      parameters.insert(node.items[i]->text);
      if (node.items[i]->text == "caller") caller_index = i;
    }
    MacroSignature& signature = node.signature;
    signature.explicit_caller = parameters.contains("caller");
    if (used.contains("caller")) {
      if (!signature.explicit_caller) {
        signature.caller_slot = static_cast<int>(symbols.declare_parameter("caller").slot);
      } else if (caller_index < node.items.size() - node.defaults.size()) {
        error(node, "the special argument 'caller' must be omitted or be given a default");
      }
    }
    if (used.contains("kwargs") && !parameters.contains("kwargs")) {
      signature.kwargs_slot = static_cast<int>(symbols.declare_parameter("kwargs").slot);
    }
    if (used.contains("varargs") && !parameters.contains("varargs")) {
      signature.varargs_slot = static_cast<int>(symbols.declare_parameter("varargs").slot);
    }
  }

  // {% set x %}...{% endset %} and {% filter f %}...{% endfilter %}: the body has a scope of its own.
  void visit_capture(Node& node, Symbols& symbols, bool soft) {
    Symbols body = inner(symbols);
    for (NodePtr& child : node.body) collect_names(*child, body);
    NodePtr& filter = node.kind == NodeKind::kSetBlock ? node.second : node.first;
    if (filter != nullptr) collect_names(*filter, body);
    visit_all(node.body, body, false);
    if (filter != nullptr) visit(*filter, body, false);
    if (node.kind == NodeKind::kSetBlock) {
      node.toplevel = symbols.parent == nullptr && !in_block_;
      visit(*node.first, symbols, soft);
    }
    node.scope = scope_of(body);
  }

  void visit_with(Node& node, Symbols& symbols, bool soft) {
    visit_all(node.defaults, symbols, soft);
    Symbols body = inner(symbols);
    for (NodePtr& child : node.items) collect_names(*child, body);
    for (NodePtr& child : node.body) collect_names(*child, body);
    visit_all(node.items, body, false);
    visit_all(node.body, body, false);
    node.scope = scope_of(body);
  }

  // A block sees the inputs and what the template's top level assigned, nothing else.
  void visit_block(Node& node) {
    FunctionInfo function;
    Symbols symbols = root(function);
    for (NodePtr& child : node.body) collect_names(*child, symbols);
    const bool outer = std::exchange(in_block_, true);
    visit_all(node.body, symbols, false);
    in_block_ = outer;
    node.scope = scope_of(symbols);
    node.slot_count = static_cast<uint32_t>(function.slots.size());
  }

  Template& template_;
  uint32_t constants_ = 0;
  bool in_block_ = false;
};

}  // namespace

void resolve(Template& parsed) {
  t_copied_names = 0;
  try {
    Resolver(parsed).run();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kLimit) throw;
    throw Error(ErrorCode::kLimit, fmt::format("{}: {}", parsed.source, error.what()));
  }
}

}  // namespace glimmer::jinja
