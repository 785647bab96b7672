#include "serve/schema_common.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/json_numbers.h"
#include "base/quoted_name.h"
#include "engine/sampling_options.h"

namespace glimmer::serve {
namespace {

constexpr size_t kMaxToolName = 128;
constexpr int64_t kMaxTemplateArgs = 64;

bool is_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxToolName && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-.:/").find(c) != std::string_view::npos;
  });
}

const FieldTable& stream_options_table() {
  static const FieldTable table = {
      {"include_usage", kBooleanField, "Send a last chunk with the usage"},
      {"include_obfuscation", kBooleanField},
      {"continuous_usage_stats", kBooleanField},
  };
  return table;
}

void read_logit_bias(const Fields& fields, const SchemaContext& context, SamplingRequest& out) {
  const Json* biases = fields.find("logit_bias");
  if (biases == nullptr) return;
  for (const auto& [name, bias] : biases->items()) {
    int32_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (error != std::errc() || end != name.data() + name.size() || id < 0 || id >= context.vocab_size) {
      fields.fail_at("logit_bias",
                     fmt::format("{} is no token id: they are in [0, {})", quoted_name(name), context.vocab_size));
    }
    if (!bias.is_number() || !(bias.get<double>() >= -100 && bias.get<double>() <= 100)) {
      fields.fail_at("logit_bias", fmt::format("the bias of token {} must be a number between -100 and 100", id));
    }
    out.logit_bias[id] = bias.get<double>();
  }
}

// Of a text that is JSON; of any other, some number of its order.
int64_t count_values(std::string_view text) {
  int64_t count = 1;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      for (++at; at < text.size() && text[at] != '"';) at += text[at] == '\\' ? 2 : 1;
    } else if (c == '[' || c == '{') {
      const size_t next = text.find_first_not_of(" \t\r\n", at + 1);
      if (next != std::string_view::npos && text[next] != ']' && text[next] != '}') ++count;
    } else if (c == ',') {
      ++count;
    }
  }
  return count;
}

}  // namespace

const std::vector<std::string_view> kReasoningEfforts = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};

const std::vector<std::string_view> kLengthNames = {"max_completion_tokens", "max_tokens", "max_new_tokens",
                                                    "n_predict", "num_predict"};

Json SchemaContext::parse(std::string_view text, const std::string& path) {
  values += count_values(text);
  if (values > limits.max_values) {
    throw ApiError(413, fmt::format("{}: the request has more than {} values of JSON", path, limits.max_values));
  }
  return parse_exact_json(text, path);
}

Json parse_body(const std::string& body, SchemaContext& context) {
  try {
    Json json = context.parse(body, "the body");
    if (!json.is_object()) {
      throw ApiError(400, fmt::format("the body: expected a JSON object, found {}", json_type_name(json)));
    }
    return json;
  } catch (const Error& error) {
    throw ApiError(400, error.what());
  }
}

void SchemaContext::leave_out(const std::string& path, std::string_view what) {
  if (left_out.size() < 64) left_out.push_back(path);
  remark(fmt::format("{}: left out: {}", path, what));
}

void add_sampling_fields(FieldTable& table) {
  for (const SamplingOption& option : sampling_options()) {
    table.push_back(
        {option.name, option.is_integer ? kIntegerField : kNumberField, option.help, option.lowest, option.highest});
  }
  const FieldTable rows = {
      {"repeat_penalty", kNumberField, "Alias of repetition_penalty (llama-server, Ollama)", 0.01, 100},
      {"repeat_last_n", kIntegerField, "Penalties cover the whole text: only -1 (all), or 0 to switch them off", -1,
       2147483647},
      {"logit_bias", kObjectField, "Map of token ids to what is added to their logits, -100 to 100"},
      {"seed", kIntegerField, "Random seed; answer i of n uses seed + i; -1: random"},
      {"random_seed", kIntegerField, "Alias of seed (Mistral)"},
      {"stop", kTextField | kListField, "The answer stops before the first of these"},
      {"stop_sequences", kTextField | kListField, "Alias of stop (Anthropic)"},
      {"stop_token_ids", kListField, "Token ids that end the answer, besides the model's own"},
      {"ignore_eos", kBooleanField, "Keep generating after an end-of-turn token"},
  };
  table.insert(table.end(), rows.begin(), rows.end());
}

void add_openai_fields(FieldTable& table) {
  const FieldTable rows = {
      {"stream", kBooleanField, "Stream the answer as server-sent events"},
      {"stream_options", kObjectField},
      {"n", kIntegerField, "Answers per prompt", 1, kMaxCount},
  };
  table.insert(table.end(), rows.begin(), rows.end());
}

namespace {

// The value of a field that has several names; null if none is given. Different values are a 400.
const Json* find_any(const Fields& fields, std::initializer_list<std::string_view> names) {
  std::string_view first;
  for (const std::string_view name : names) {
    if (!fields.has(name)) continue;
    if (first.empty()) {
      first = name;
    } else if (*fields.find(name) != *fields.find(first)) {
      fields.fail_at(name, fmt::format("is the same as {}, which says another", first));
    }
  }
  return first.empty() ? nullptr : fields.find(first);
}

void read_penalties(const Fields& fields, SamplingRequest& out) {
  if (const Json* penalty = find_any(fields, {"repetition_penalty", "repeat_penalty"})) {
    out.repetition_penalty = penalty->get<double>();
  }
  const int64_t window = fields.integer("repeat_last_n").value_or(-1);
  if (window == 0) {
    out.repetition_penalty = 1;
    out.presence_penalty = out.frequency_penalty = 0;
  }
  const bool any = out.repetition_penalty.value_or(1) != 1 || out.presence_penalty != 0 || out.frequency_penalty != 0;
  if (window > 0 && any) {
    fields.fail_at("repeat_last_n", "penalties look at the whole text here: only -1, or 0 for none");
  }
}

std::optional<uint64_t> read_seed(const Fields& fields) {
  const Json* given = find_any(fields, {"seed", "random_seed"});
  if (given == nullptr) return std::nullopt;
  const int64_t seed = *fields.integer(fields.has("seed") ? "seed" : "random_seed");
  return seed == -1 ? std::nullopt : std::optional(static_cast<uint64_t>(seed));
}

void read_stop_token_ids(const Fields& fields, const SchemaContext& context, GenerationJob& out) {
  const Json* ids = fields.find("stop_token_ids");
  if (ids == nullptr) return;
  check_count(fields.path_of("stop_token_ids"), ids->size(), context.limits.max_stop_strings, "token ids");
  for (const Json& id : *ids) {
    if (!id.is_number_integer() || id < 0 || id >= context.vocab_size) {
      fields.fail_at("stop_token_ids",
                     fmt::format("{} is no token id: they are in [0, {})",
                                 id.is_number() ? dump_json(id) : std::string(json_type_name(id)), context.vocab_size));
    }
    out.stop_token_ids.push_back(id.get<int32_t>());
  }
}

}  // namespace

void read_sampling(const Fields& fields, SchemaContext& context, GenerationJob& out) {
  for (const SamplingOption& option : sampling_options()) {
    std::optional<double> value;
    if (option.is_integer) {
      value = fields.integer(option.name);
    } else {
      value = fields.number(option.name);
    }
    if (value) option.set(out.sampling, *value);
  }
  read_penalties(fields, out.sampling);
  read_logit_bias(fields, context, out.sampling);
  out.sampling.seed = read_seed(fields);
  find_any(fields, {"stop", "stop_sequences"});
  out.stop = read_stop(fields, fields.has("stop") ? "stop" : "stop_sequences", context);
  read_stop_token_ids(fields, context, out);
  out.ignore_eos = fields.boolean("ignore_eos", false);
}

void read_openai_fields(const Fields& fields, SchemaContext& context, GenerationJob& out) {
  read_sampling(fields, context, out);
  out.stream = fields.boolean("stream", false);
  out.n = fields.integer("n").value_or(1);
  if (out.n > context.limits.max_n) {
    fields.fail_at("n", fmt::format("at most {} answers at once, found {}", context.limits.max_n, out.n));
  }
  if (const Json* options = fields.find("stream_options")) {
    if (!out.stream) fields.fail_at("stream_options", "only with \"stream\": true");
    const Fields read(*options, fields.path_of("stream_options"), stream_options_table(), &context.remarks);
    out.include_usage = read.boolean("include_usage", false);
  }
}

void add_length_fields(FieldTable& table) {
  const FieldTable rows = {
      {"max_new_tokens", kIntegerField, "Alias of max_tokens (Hugging Face, SGLang)", -1, kMaxCount},
      {"n_predict", kIntegerField, "Alias of max_tokens (llama-server); -1, -2: no limit", -2, kMaxCount},
      {"num_predict", kIntegerField, "Alias of max_tokens (Ollama); -1, -2: no limit", -2, kMaxCount},
  };
  table.insert(table.end(), rows.begin(), rows.end());
}

std::optional<int64_t> read_length(const Fields& fields, std::span<const std::string_view> names, int64_t least) {
  for (const std::string_view name : names) {
    const std::optional<int64_t> length = fields.integer(name);
    if (!length) continue;
    if (*length < 0) return kNoLimit;
    if (*length < least) {
      fields.fail_at(name, fmt::format("must be at least {}, or -1 for no limit, found {}", least, *length));
    }
    return length;
  }
  return std::nullopt;
}

std::optional<int64_t> limit_of(std::optional<int64_t> length) { return length == kNoLimit ? std::nullopt : length; }

std::vector<std::string> read_stop(const Fields& fields, std::string_view name, const SchemaContext& context) {
  const Json* value = fields.find(name);
  if (value == nullptr) return {};
  const Json list = value->is_array() ? *value : Json::array({*value});
  check_count(fields.path_of(name), list.size(), context.limits.max_stop_strings, "stop strings");
  std::vector<std::string> out;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = element_path(fields.path_of(name), i);
    if (!list[i].is_string()) {
      bad_field(path, fmt::format("expected a string, found {}", json_type_name(list[i])));
    }
    const auto& stop = list[i].get_ref<const std::string&>();
    if (stop.size() > static_cast<size_t>(context.limits.max_stop_bytes)) {
      bad_field(path, fmt::format("at most {} bytes, found {}", context.limits.max_stop_bytes, stop.size()));
    }
    if (!stop.empty()) out.push_back(stop);
  }
  return out;
}

void read_template_args(const Fields& fields, Chat& chat) {
  const Json* args = fields.find("chat_template_kwargs");
  if (args == nullptr) return;
  check_count(fields.path_of("chat_template_kwargs"), args->size(), kMaxTemplateArgs, "arguments");
  for (const auto& [name, value] : args->items()) {
    if (name == "messages" || name == "tools" || name == "documents" || name == "add_generation_prompt") {
      fields.fail_at("chat_template_kwargs", fmt::format("{} is not for this field to give", quoted_name(name)));
    }
  }
  chat.template_args.update(*args);
}

void read_answer_beginning(const Fields& fields, Chat& chat) {
  // A message may say by itself that it is only begun.
  chat.continues_last = fields.boolean("continue_final_message", chat.continues_last);
  chat.add_generation_prompt = fields.boolean("add_generation_prompt", !chat.continues_last);
  if (!chat.continues_last) return;
  const ChatMessage& last = chat.messages.back();
  if (last.role != ChatMessage::Role::kAssistant || !last.tool_calls.empty()) {
    fields.fail_at("continue_final_message", "the last message must be the assistant's, without tool calls");
  }
  if (chat.add_generation_prompt) fields.fail_at("add_generation_prompt", "not with continue_final_message");
}

void apply_reasoning_effort(const std::string& effort, Chat& chat) {
  if (effort == "none" || effort == "minimal") {
    chat.thinking = false;
  } else {
    chat.thinking = true;
  }
  chat.template_args["reasoning_effort"] = effort;
}

void check_count(const std::string& path, size_t count, int64_t limit, std::string_view what) {
  if (count > static_cast<size_t>(limit)) bad_field(path, fmt::format("at most {} {}, found {}", limit, what, count));
}

void add_tool(const DeclaredTool& tool, const SchemaContext& context, std::set<std::string>& names, Chat& chat) {
  if (!is_tool_name(tool.name)) {
    bad_field(tool.path, fmt::format("name: expected 1 to {} of a-z A-Z 0-9 _ - . : /, found {}", kMaxToolName,
                                     quoted_name(tool.name)));
  }
  if (!names.insert(tool.name).second) {
    bad_field(tool.path, fmt::format("name: there are two tools \"{}\"", tool.name));
  }
  Json function = {{"name", tool.name}};
  if (tool.description != nullptr) function["description"] = *tool.description;
  if (tool.parameters != nullptr) {
    const size_t bytes = dump_json(*tool.parameters).size();
    if (bytes > static_cast<size_t>(context.limits.max_schema_bytes)) {
      bad_field(tool.path,
                fmt::format("a schema of at most {} bytes, found {}", context.limits.max_schema_bytes, bytes));
    }
    function["parameters"] = *tool.parameters;
  }
  chat.tools.push_back({{"type", "function"}, {"function", std::move(function)}});
}

void allow_tools(const std::string& path, const std::set<std::string>& names, Chat& chat) {
  std::set<std::string> missing = names;
  for (const Json& tool : chat.tools) missing.erase(tool["function"]["name"].get<std::string>());
  if (!missing.empty()) bad_field(path, fmt::format("there is no tool {}", quoted_name(*missing.begin())));
  std::erase_if(chat.tools, [&](const Json& tool) {
    return names.find(tool["function"]["name"].get<std::string>()) == names.end();
  });
}

ToolChoice read_tool_choice(const Fields& body) {
  const Json* choice = body.find("tool_choice");
  if (choice == nullptr) return {};
  const std::string path = body.path_of("tool_choice");
  static const FieldTable table = {{.name = "type", .required = true},
                                   {"disable_parallel_tool_use", kBooleanField},
                                   {"mode", kTextField},
                                   {"tools", kListField},
                                   {"allowed_tools", kObjectField}};
  const bool word = choice->is_string();
  if (!word && !choice->contains("type") && choice->contains("function")) not_yet_structured(path, "a named tool");
  const Json object = word ? Json{{"type", *choice}} : Json();
  const Fields read(word ? object : *choice, path, table, nullptr);
  const std::string type = *read.text("type");
  ToolChoice out;
  out.parallel = !read.boolean("disable_parallel_tool_use", false);
  if (type == "none") {
    out.kind = ToolChoice::Kind::kNone;
  } else if (type == "required" || type == "any") {
    not_yet_structured(path, quoted_name(type));
  } else if (type == "function" || type == "tool" || type == "custom") {
    not_yet_structured(path, "a named tool");
  } else if (type == "allowed_tools" && !word) {
    // OpenAI's chat completions have an object in between.
    static const FieldTable allowed_table = {{.name = "mode", .choices = {"auto", "required"}},
                                             {.name = "tools", .types = kListField, .required = true}};
    const Json* inner = read.find("allowed_tools");
    const Fields allowed(inner != nullptr ? *inner : *choice, inner != nullptr ? path + ".allowed_tools" : path,
                         allowed_table, nullptr);
    if (allowed.text("mode").value_or("auto") == "required") {
      not_yet_structured(allowed.path_of("mode"), "\"required\"");
    }
    out.kind = ToolChoice::Kind::kAllowed;
    out.allowed = allowed.find("tools");
    out.allowed_path = allowed.path_of("tools");
  } else if (type != "auto") {
    bad_field(word ? path : path + ".type",
              fmt::format("expected auto, none or allowed_tools, found {}, which is no tool of this server's",
                          quoted_name(type)));
  }
  return out;
}

Json tool_arguments(const std::string& path, const Json* arguments, SchemaContext& context) {
  const auto nothing = [](const Json& value) { return value.is_null() || (value.is_array() && value.empty()); };
  if (arguments == nullptr || nothing(*arguments)) return Json::object();
  if (arguments->is_object()) return *arguments;
  if (!arguments->is_string()) {
    bad_field(path, fmt::format("expected a string or an object, found {}", json_type_name(*arguments)));
  }
  const auto& text = arguments->get_ref<const std::string&>();
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return Json::object();
  try {
    Json parsed = context.parse(text, path);
    if (parsed.is_object()) return parsed;
    if (nothing(parsed)) return Json::object();
  } catch (const Error&) {  // as below
  }
  context.remark(path + ": not a JSON object, given to the model as text");
  return {{"arguments", text}};
}

void not_yet_structured(const std::string& path, std::string_view what) {
  bad_field(path, fmt::format("{} needs structured output, which this server does not have yet", what));
}

}  // namespace glimmer::serve
