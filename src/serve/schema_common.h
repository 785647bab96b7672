// Parts of schemas that several APIs share.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "serve/fields.h"
#include "serve/generation_job.h"
#include "serve/limits.h"

namespace glimmer::serve {

// State while one request is read.
struct SchemaContext {
  const ApiLimits& limits;
  int64_t vocab_size = 0;
  std::vector<std::string> remarks;   // for the log: fields that are ignored, text that had to be mended
  std::vector<std::string> left_out;  // of the conversation and its tools, by their paths; each is a remark too
  int64_t values = 0;                 // of JSON that were read

  // As parse_exact_json. ApiError 413 where the request would have more values than it may.
  Json parse(std::string_view text, const std::string& path);

  void remark(std::string text) {
    if (remarks.size() < 64) remarks.push_back(std::move(text));  // a hostile body may give cause for thousands
  }
  // The model does not see what is at `path`.
  void leave_out(const std::string& path, std::string_view what);
};

// The body of a request: one JSON object. Throws ApiError: 413 as above, 400 else.
Json parse_body(const std::string& body, SchemaContext& context);

inline constexpr double kMaxCount = 100'000'000;  // of tokens, that anyone may ask for

// Rows that several tables have: how to sample and where to stop, for all APIs; and OpenAI's own stream, n and the
// like. What a field is called by another server is a row too; both with different values are a 400. foreign_fields.h
// has the rest of their fields, to be added last.
void add_sampling_fields(FieldTable& table);
void add_openai_fields(FieldTable& table);

void read_sampling(const Fields& fields, SchemaContext& context, GenerationJob& out);
void read_openai_fields(const Fields& fields, SchemaContext& context, GenerationJob& out);

// The most tokens of an answer: the first of these fields that is given; kNoLimit for -1, which clients write for no
// limit; nothing if none is given. `least` is the smallest that is allowed otherwise.
inline constexpr int64_t kNoLimit = -1;
std::optional<int64_t> read_length(const Fields& fields, std::span<const std::string_view> names, int64_t least);
std::optional<int64_t> limit_of(std::optional<int64_t> length);  // as GenerationJob::max_new_tokens has it
// Other servers' names for it: rows, and for read_length behind the API's own.
void add_length_fields(FieldTable& table);
extern const std::vector<std::string_view> kLengthNames;

// A string, or a list of them.
std::vector<std::string> read_stop(const Fields& fields, std::string_view name, const SchemaContext& context);

// chat_template_kwargs, into the chat.
void read_template_args(const Fields& fields, Chat& chat);

// continue_final_message and add_generation_prompt, into the chat, whose messages are there.
void read_answer_beginning(const Fields& fields, Chat& chat);

// OpenAI's word for how long to think: "none" and "minimal" turn thinking off; all are passed to the template.
extern const std::vector<std::string_view> kReasoningEfforts;
void apply_reasoning_effort(const std::string& effort, Chat& chat);

void check_count(const std::string& path, size_t count, int64_t limit, std::string_view what);

// One declared tool, from its parts, as templates know it: OpenAI's form with name, description and parameters in this
// order. Throws for a bad name, a name that was there before, and parameters that are too large.
struct DeclaredTool {
  std::string path;
  std::string name;
  const Json* description = nullptr;
  const Json* parameters = nullptr;
};
void add_tool(const DeclaredTool& tool, const SchemaContext& context, std::set<std::string>& names, Chat& chat);

// What tool_choice says in any of its spellings: "auto", {"type": "any"}, {"type": "function", "function": {...}}, ...
// A choice that needs structured output, or that is none, is a 400.
struct ToolChoice {
  enum class Kind { kAuto, kNone, kAllowed };
  Kind kind = Kind::kAuto;
  bool parallel = true;           // false: disable_parallel_tool_use
  const Json* allowed = nullptr;  // of kAllowed: the list of tools
  std::string allowed_path;
};
ToolChoice read_tool_choice(const Fields& body);

// Leaves only those tools; throws for a name that is not declared.
void allow_tools(const std::string& path, const std::set<std::string>& names, Chat& chat);

// Arguments of a call, as a model once wrote them or as a client made an object of them; absent, empty, null and [] are
// {}. What is no JSON object becomes {"arguments": text}: a client sends back what an answer had, and one broken call
// must not end its conversation.
Json tool_arguments(const std::string& path, const Json* arguments, SchemaContext& context);

[[noreturn]] void not_yet_structured(const std::string& path, std::string_view what);

}  // namespace glimmer::serve
