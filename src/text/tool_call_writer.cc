#include "text/tool_call_writer.h"

#include <utility>

namespace glimmer {
namespace {

const ToolSchema& undeclared_tool() {
  static const ToolSchema kTool;
  return kTool;
}

const ArgumentType& string_type() {
  static const ArgumentType kType{.types = kJsonString, .values = {}};
  return kType;
}

}  // namespace

ToolCallWriter::ToolCallWriter(const ToolSchemas& tools, LiteralStyle style, int call, OutputDeltas& out)
    : tools_(tools), style_(style), call_(call), out_(out), schema_(&undeclared_tool()) {}

void ToolCallWriter::begin(std::string_view name) {
  if (const ToolSchema* declared = tools_.find(name)) {
    schema_ = declared;
  } else {
    diagnose("a call of a tool that is not declared");
  }
  out_.push_back({DeltaKind::kToolCallBegin, std::string(name), call_});
}

// False for a name that was there before.
bool ToolCallWriter::begin_name(std::string_view name) {
  repeated_ = !names_.insert(std::string(name)).second;
  repeated_text_.clear();
  if (!repeated_) arguments((names_.size() == 1 ? "{" : ", ") + json_string(name) + ": ");
  return !repeated_;
}

void ToolCallWriter::begin_value(std::string_view name) {
  if (begin_name(name)) value_.emplace(schema_->type_of(name), style_);
}

void ToolCallWriter::begin_string(std::string_view name) {
  if (begin_name(name)) value_.emplace(string_type(), style_);
}

void ToolCallWriter::json_value(std::string_view name, std::string_view json) {
  if (!begin_name(name)) {
    repeated_text_ = json;
    return end_value();
  }
  const std::optional<std::string> typed = retyped_json(json, schema_->type_of(name));
  if (!typed) diagnose("a value that the declared type does not allow; it is passed on as it is");
  arguments(typed ? *typed : std::string(json));
}

void ToolCallWriter::value(std::string_view text) {
  if (repeated_) {
    repeated_text_ += text;
  } else {
    arguments(value_->add(text));
  }
}

void ToolCallWriter::end_value() {
  if (std::exchange(repeated_, false)) {
    stray(std::exchange(repeated_text_, {}), "an argument given twice; the first value counts");
    return;
  }
  arguments(value_->end());
  if (!value_->fits()) diagnose("a value that the declared type does not allow; it is passed on as a string");
  value_.reset();
}

bool ToolCallWriter::value_is_whole_literal() { return value_ && value_->is_whole_literal(); }

void ToolCallWriter::stray(std::string_view text, std::string_view reason) {
  strays_.push_back({DeltaKind::kDiagnostic, std::string(reason)});
  if (!text.empty()) strays_.push_back({DeltaKind::kContent, std::string(text)});
}

void ToolCallWriter::diagnose(std::string_view reason) {
  out_.push_back({DeltaKind::kDiagnostic, std::string(reason)});
}

void ToolCallWriter::end() {
  if (value_ || repeated_) end_value();
  arguments(names_.empty() ? "{}" : "}");
  finish({});
}

void ToolCallWriter::cut() {
  std::string missing = names_.empty() ? "{}" : "}";
  if (repeated_) end_value();
  if (value_) {
    arguments(value_->cut());
    missing = value_->closing() + missing;
  }
  finish(std::move(missing));
}

bool ToolCallWriter::expects(std::string_view name) const {
  return schema_->declares(name) && names_.find(name) == names_.end();
}

bool ToolCallWriter::expects_beginning(std::string_view name) const {
  const auto& declared = schema_->parameters;
  for (auto it = declared.lower_bound(name); it != declared.end() && it->first.starts_with(name); ++it) {
    if (names_.find(it->first) == names_.end()) return true;
  }
  return false;
}

void ToolCallWriter::arguments(std::string text) {
  if (!text.empty()) out_.push_back({DeltaKind::kToolCallArguments, std::move(text), call_});
}

void ToolCallWriter::finish(std::string missing) {
  out_.push_back({DeltaKind::kToolCallEnd, std::move(missing), call_});
  for (OutputDelta& delta : strays_) out_.push_back(std::move(delta));
  strays_.clear();
}

}  // namespace glimmer
