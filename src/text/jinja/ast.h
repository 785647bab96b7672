// The parsed template. One node type for statements and expressions keeps the walks over it (names, scopes) short.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace glimmer::jinja {

enum class NodeKind : uint8_t {
  // Expressions
  kNone,
  kTrue,
  kFalse,
  kInteger,  // integer
  kFloat,    // real
  kString,   // text
  kName,     // text; context
  kNsRef,    // text.attr = ..., as an assignment target: text, attribute
  kTuple,    // items
  kListLiteral,
  kDictLiteral,  // items: key, value, key, value, ...
  kAnd,          // first, second
  kOr,
  kNot,     // first
  kNegate,  // first
  kPlus,    // first
  kAdd,     // first, second
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcat,       // items
  kCompare,      // first, then items with operators
  kConditional,  // second if first else third (third may be null)
  kGetAttr,      // first.text
  kGetItem,      // first[second]
  kSlice,        // first:second:third, each may be null
  kCall,         // first(arguments)
  kFilter,       // first|text(arguments); first is null for the text of a filter or set block
  kTest,         // first is text(arguments)
  // Statements
  kText,         // text
  kOutput,       // first
  kSet,          // first = second
  kSetBlock,     // first; second: filter chain or null; body
  kIf,           // first; body; items: kIf nodes of elif; orelse
  kFor,          // first: target; second: iterable; third: test or null; body; orelse; recursive
  kMacro,        // text; items: parameters; defaults; body
  kCallBlock,    // first: call; items: parameters; defaults; body
  kFilterBlock,  // first: filter chain; body
  kWith,         // items: targets; defaults: their values; body
  kBlock,        // text; body
  kGeneration,   // body: what the assistant says
  kDo,           // first
  kBreak,
  kContinue,
};

enum class CompareOp : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kIn, kNotIn };
enum class NameContext : uint8_t { kLoad, kStore, kParameter };

struct Node;
using NodePtr = std::unique_ptr<Node>;
using Nodes = std::vector<NodePtr>;

struct CallArguments {
  Nodes positional;
  std::vector<std::pair<std::string, NodePtr>> keywords;
  NodePtr star;         // *args
  NodePtr double_star;  // **kwargs
};

// Where a name lives: `hops` functions outward from the one that runs, slot `index` of its activation.
struct SlotRef {
  uint32_t hops = 0;
  uint32_t index = 0;
};

// What entering a scope does to one slot.
struct SlotLoad {
  enum class Action : uint8_t { kParameter, kResolve, kAlias, kUndefined };
  Action action = Action::kUndefined;
  uint32_t slot = 0;
  SlotRef alias;     // kAlias: copies this
  std::string name;  // kResolve: looks this up among the inputs and globals
};

struct Scope {
  std::vector<SlotLoad> loads;
};

// Parameters of a macro or call block, as the caller fills them.
struct MacroSignature {
  std::vector<SlotRef> parameters;  // in the callee's activation, hops 0
  int caller_slot = -1;             // slots of the implicit names, -1 where the body does not use them
  int kwargs_slot = -1;
  int varargs_slot = -1;
  bool explicit_caller = false;
};

struct Node {
  explicit Node(NodeKind node_kind, int node_line) : kind(node_kind), line(node_line) {}

  NodeKind kind;
  NameContext context = NameContext::kLoad;
  bool recursive = false;  // kFor
  bool soft = false;       // kFilter, kTest inside a condition: an unknown name fails when it is reached, not before
  bool toplevel = false;   // kSet, kSetBlock, kMacro: at the top of the template, where blocks see what it assigns
  int line;
  int height = 1;  // 1 + the highest child's
  int64_t integer = 0;
  double real = 0;
  std::string text;
  std::string attribute;
  NodePtr first, second, third;
  Nodes items, defaults, body, orelse;
  std::vector<CompareOp> operators;
  std::unique_ptr<CallArguments> arguments;

  // Set by the resolver.
  SlotRef slot;             // kName, kNsRef; kMacro: where the macro is stored
  int loop_slot = -1;       // kFor: of `loop`, when the body uses it
  uint32_t constant = 0;    // kString, kText: index of the render's cached value
  uint32_t slot_count = 0;  // of the function that the node's body is: kMacro, kCallBlock, kBlock, kGeneration, kFor if
                            // recursive
  uint32_t test_slots = 0;  // kFor with a test: slots of the filtering function
  Scope scope;              // of the body
  Scope test_scope;         // kFor
  Scope else_scope;         // kFor
  MacroSignature signature;  // kMacro, kCallBlock
};

struct Template {
  std::string source;  // a path, for messages
  Nodes body;
  Scope scope;
  uint32_t slot_count = 0;
  uint32_t constant_count = 0;
  bool has_blocks = false;
};

// Calls visit(child) for each child of `node`, in the order in which jinja2 lists its fields (names are found in it).
template <typename Visit>
void for_each_child(Node& node, Visit visit) {
  const auto one = [&](NodePtr& child) {
    if (child != nullptr) visit(*child);
  };
  const auto all = [&](Nodes& children) {
    for (NodePtr& child : children) one(child);
  };
  if (node.kind == NodeKind::kFilterBlock) all(node.body);
  one(node.first);
  one(node.second);
  if (node.kind != NodeKind::kFor) one(node.third);
  if (node.kind == NodeKind::kIf) all(node.body);
  all(node.items);
  all(node.defaults);
  if (node.arguments != nullptr) {
    all(node.arguments->positional);
    for (auto& [name, value] : node.arguments->keywords) one(value);
    one(node.arguments->star);
    one(node.arguments->double_star);
  }
  if (node.kind != NodeKind::kFilterBlock && node.kind != NodeKind::kIf) all(node.body);
  all(node.orelse);
  if (node.kind == NodeKind::kFor) one(node.third);
}

}  // namespace glimmer::jinja
