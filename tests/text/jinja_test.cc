// The interpreter against jinja2: jinja_cases.jsonl holds what jinja2 makes of every template of jinja_cases.txt
// (tools/check_jinja.py cases). Limits and messages are tested beside it.
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "text/chat_template.h"

namespace glimmer {
namespace {

TemplateOptions fixed_clock() {
  TemplateOptions options;
  options.clock = [] {
    std::tm now{};  // Friday, 4 July 2025, 09:05:06
    now.tm_year = 125;
    now.tm_mon = 6;
    now.tm_mday = 4;
    now.tm_hour = 9;
    now.tm_min = 5;
    now.tm_sec = 6;
    now.tm_wday = 5;
    now.tm_yday = 184;
    return now;
  };
  return options;
}

std::string render(std::string_view text, const Json& inputs = Json::object()) {
  Json complete = inputs;
  if (!complete.contains("messages")) complete["messages"] = Json::array();
  return ChatTemplate(text, "test.jinja", fixed_clock()).render(complete);
}

// What the template fails with; a test failure if it does not.
Error failure(std::string_view text, const Json& inputs = Json::object()) {
  try {
    const std::string rendered = render(text, inputs);
    ADD_FAILURE() << "rendered: " << rendered.substr(0, 200);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kCancelled, "no error");
}

std::string repeat(std::string_view text, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += text;
  return out;
}

TEST(Jinja, EqualsJinja2OnTheTable) {
  std::ifstream file(GLIMMER_SOURCE_DIR "/tests/text/jinja_cases.jsonl");
  ASSERT_TRUE(file) << "tests/text/jinja_cases.jsonl is missing";
  size_t cases = 0;
  for (std::string line; std::getline(file, line); ++cases) {
    const Json row = Json::parse(line);
    const std::string text = row["template"];
    SCOPED_TRACE("line " + std::to_string(cases + 1) + ": " + text);
    if (row.contains("error")) {
      failure(text, row["inputs"]);
      continue;
    }
    try {
      EXPECT_EQ(render(text, row["inputs"]), row["text"].get<std::string>());
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GT(cases, 200u);
}

TEST(Jinja, MessagesNameTemplateLineAndCause) {
  EXPECT_STREQ(failure("a\nb\n{{ x.y }}").what(), "test.jinja:3: 'x' is undefined");
  EXPECT_STREQ(failure("{% if a %}\n\n{{ 1 + 'a' }}{% endif %}", {{"a", true}}).what(),
               "test.jinja:3: can only concatenate str, not int + str; use ~ to concatenate anything");
  EXPECT_STREQ(failure("\n{{ raise_exception('roles must alternate') }}").what(), "test.jinja:2: roles must alternate");
  const std::string unknown = failure("\n\n{{ 'x' | foo }}").what();
  EXPECT_TRUE(unknown.starts_with("test.jinja:3: unknown filter 'foo'; known: abs, attr, batch, ")) << unknown;
  const std::string tag = failure("{% nope %}").what();
  EXPECT_TRUE(tag.starts_with("test.jinja:1: unknown tag 'nope'; known: ")) << tag;
  EXPECT_STREQ(failure("{% for x in y %}\n").what(),
               "test.jinja:1: unexpected end of template; expected 'endfor' or 'else' to close 'for'");
  EXPECT_EQ(failure("{% include 'x' %}").code(), ErrorCode::kUnsupported);
  // A line inside a macro is the macro's.
  EXPECT_STREQ(failure("{% macro m(x) %}\n{{ x.a.b }}{% endmacro %}\n\n{{ m({}) }}").what(),
               "test.jinja:2: 'dict object' has no attribute 'a'");
}

TEST(Jinja, ASliceAmongSeveralSubscriptsIsAnError) {
  EXPECT_NE(std::string(failure("{{ 'abc'[1:1, 2, 3] }}").what()).find("a slice among several subscripts"),
            std::string::npos);
}

TEST(Jinja, SandboxHoldsPythonInternalsBack) {
  EXPECT_EQ(render("{{ ''.__class__ }}{{ [].__class__ is defined }}"), "False");
  const char* const attacks[] = {
      "{{ ''.__class__.__mro__ }}",
      "{{ ''['__class__']['__mro__'] }}",
      "{{ '{0.__class__.__init__.__globals__}'.format(namespace) }}",
      "{{ '{a.__class__.__mro__}'.format_map({'a': 1}) }}",
      "{{ ''|attr('__class__')|attr('__mro__') }}",
      "{{ ['']|map(attribute='__class__.__mro__')|list }}",
      "{{ [].append(1) }}",
      "{{ {}.update({'a': 1}) }}",
      "{{ cycler.__init__.__globals__ }}",
      "{{ messages.__class__() }}",
  };
  for (const char* attack : attacks) EXPECT_EQ(failure(attack).code(), ErrorCode::kInvalid) << attack;
}

TEST(Jinja, NestingIsLimited) {
  constexpr size_t kDeep = 50'000;
  const std::string deep[] = {
      "{{ " + repeat("(", kDeep) + "1" + repeat(")", kDeep) + " }}",
      "{{ " + repeat("[", kDeep) + repeat("]", kDeep) + " }}",
      "{{ " + repeat("not ", kDeep) + "1 }}",
      "{{ " + repeat("-", kDeep) + "1 }}",
      "{{ 1" + repeat("+1", kDeep) + " }}",
      "{{ a" + repeat(".b", kDeep) + " }}",
      "{{ a" + repeat("|upper", kDeep) + " }}",
      "{{ a" + repeat("()", kDeep) + " }}",
      "{{ " + repeat("1 if 1 else ", kDeep) + "1 }}",
      repeat("{% if 1 %}", kDeep) + repeat("{% endif %}", kDeep),
      repeat("{% for i in [1] %}", kDeep) + repeat("{% endfor %}", kDeep),
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro a(x) %}{{ x(x) }}{% endmacro %}{{ a(a) }}",
      "{% macro a() %}{% call a() %}{{ caller() }}{% endcall %}{% endmacro %}{{ a() }}",
      "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}",
      "{% set n = namespace(x=[]) %}{% for i in range(9999) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
      "{% set n = namespace(x=[1]) %}{% for i in range(9999) %}{% set n.x = n.x|map('upper') %}{% endfor %}",
      "{% set n = namespace() %}{% set n.x = n %}{{ n }}",
  };
  for (const std::string& text : deep) EXPECT_EQ(failure(text).code(), ErrorCode::kLimit) << text.substr(0, 60);
  EXPECT_EQ(render("{{ " + repeat("(", 60) + "1" + repeat(")", 60) + " }}{{ 1" + repeat("+1", 300) + " }}"), "1301");
}

TEST(Jinja, WorkAndMemoryAreLimited) {
  const std::string greedy[] = {
      "{{ range(1000000000) }}",
      "{{ 'a' * 100000000000 }}",
      "{{ 'a' * 9223372036854775807 }}",
      "{{ [1] * 100000000000 }}",
      "{% set n = namespace(x='a') %}{% for i in range(100) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      "{% set n = namespace(x=['l']) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x == [n.x] "
      "}}{{ n.x }}",
      "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}",
      "{{ 9 ** 9 ** 9 }}",
      "{{ 9223372036854775807 + 1 }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 'a'.center(100000000000) }}",
      "{{ [1]|batch(1000000000000, 0)|list }}",
      "{{ [1]|slice(1000000000000)|list }}",
      "{{ 'a\n'|indent(1000000000) }}",
      "{{ ('a' * 2000000).rfind('b' ~ 'a' * 1000000) }}",
  };
  for (const std::string& text : greedy) EXPECT_EQ(failure(text).code(), ErrorCode::kLimit) << text.substr(0, 80);

  TemplateOptions small;
  small.limits.max_steps = 10'000;
  const ChatTemplate endless("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "t",
                             small);
  try {
    endless.render({{"messages", Json::array()}});
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "t:1: the template takes more than 10000 steps (an endless loop or recursion?)");
  }
}

TEST(Jinja, NeedleSearchIsLinear) {
  EXPECT_EQ(render("{{ ('a' * 1000000 ~ 'b') in ('a' * 4000000) }}{{ ('a' * 2000000).find('a' * 900000 ~ 'b') }}"),
            "False-1");
}

}  // namespace
}  // namespace glimmer
