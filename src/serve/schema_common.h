// What the schemas of several APIs share.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "serve/fields.h"
#include "serve/generation_job.h"
#include "serve/limits.h"

namespace glimmer {

// What one request is read with.
struct SchemaContext {
  const ApiLimits& limits;
  int64_t vocab_size = 0;
  std::vector<std::string> remarks;  // for the log: fields that are ignored, text that had to be mended

  void remark(std::string text) {
    if (remarks.size() < 64) remarks.push_back(std::move(text));  // a hostile body may give cause for thousands
  }
};

inline constexpr double kMaxCount = 100'000'000;  // of tokens, that anyone may ask for

// Rows that several tables have: temperature, top_p, top_k, min_p, repetition_penalty; and the OpenAI APIs' own:
// presence_penalty, frequency_penalty, logit_bias, seed, stop, stream, stream_options, and what vLLM and SGLang add.
void add_sampling_fields(FieldTable& table);
void add_openai_fields(FieldTable& table);

void read_sampling(const Fields& fields, SamplingRequest& out);
void read_openai_fields(const Fields& fields, SchemaContext& context, GenerationJob& out);

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

// Leaves only those tools; throws for a name that is not declared.
void allow_tools(const std::string& path, const std::set<std::string>& names, Chat& chat);

// The object that `text` holds, as a model once wrote it. What is no JSON object becomes {"arguments": text}: a client
// sends back what an answer had, and one broken call must not end its conversation.
Json tool_arguments(const std::string& path, const std::string& text, SchemaContext& context);

[[noreturn]] void not_yet_structured(const std::string& path, std::string_view what);
[[noreturn]] void reads_text_only(const std::string& path, std::string_view type);

}  // namespace glimmer
