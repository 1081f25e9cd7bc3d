// Reads what print.cpp writes, line by line; the Graph's own builders infer the shapes, which must be those of the text.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <stdexcept>
#include <string_view>

#include "graph/text.h"

namespace dvm {
namespace {

class GraphParser {
 public:
  explicit GraphParser(const std::string& text) : text_(text) {}

  Graph parse() {
    next_line();
    expect("graph ");
    Graph graph(word());
    expect("{");
    graph_ = &graph;
    while (true) {
      next_line();
      if (accept("return")) break;
      if (accept("check ")) {
        check();
      } else if (accept("fact ")) {
        fact();
      } else {
        statement();
      }
    }
    outputs();
    next_line();
    expect("}");
    return graph;
  }

 private:
  void check() {
    expect("%");
    const Value condition = lookup(word());
    skip();
    std::string message;
    if (at_ == line_.size() || line_[at_] != '"') fail("wanted a message in quotes");
    ++at_;
    while (at_ < line_.size() && line_[at_] != '"') {
      if (line_[at_] == '\\' && at_ + 1 < line_.size()) ++at_;
      message += line_[at_++];
    }
    if (at_ == line_.size()) fail("the message does not end");
    ++at_;
    graph_->check(condition, std::move(message));
  }

  void statement() {
    expect("%");
    const std::string name = word();
    expect("=");
    const std::string operation = word();
    Call call;
    if (operation == "input" || operation == "weight" || operation == "scalar") call.name = word();
    if (accept("(")) arguments(operation, call);
    if (accept(":")) type(call);
    const Value value = build(operation, call);
    check_shape(value, call);
    if (!values_.emplace(name, value).second) fail("%" + name + " is defined twice");
  }

  // `equal(a, b)`, or a kind, a dimension and numbers: what text(dims, fact) prints.
  void fact() {
    const std::string kind = word();
    const auto known = std::ranges::find(kFactKinds, kind);
    if (known == std::end(kFactKinds)) fail("unknown fact \"" + kind + "\"");
    expect("(");
    Fact fact{.kind = static_cast<FactKind>(known - std::begin(kFactKinds)),
              .a = graph_->dims().parse(balanced()),
              .source = "graph text"};
    while (!accept(")")) {
      expect(",");
      if (fact.kind == FactKind::kEqual && fact.b < 0) {
        fact.b = graph_->dims().parse(balanced());
      } else {
        fact.numbers.push_back(integer<std::int64_t>(word()));
      }
    }
    graph_->fact(std::move(fact));
  }

  struct Call {
    std::string name;
    std::string literal;
    std::vector<Value> operands;
    std::vector<int> axes;
    Dim start = -1;  // of a slice
    int step = 1;
    Scoring scoring = {};  // of attention
    Windows windows = {};
    std::vector<int> padding = {};  // of a convolution: all ends before, then all after
    Type type = Type::f32;
    std::vector<Dim> shape;
  };

  void arguments(const std::string& operation, Call& call) {
    while (!accept(")")) {
      if (accept("%")) {
        call.operands.push_back(lookup(word()));
      } else if (accept("axes=")) {
        call.axes = axes();
      } else if (accept("start=")) {
        call.start = graph_->dims().parse(balanced());
      } else if (accept("scale=")) {
        call.scoring.scale = real(word());
      } else if (accept("hidden=")) {
        call.scoring.hidden = real(word());
      } else if (accept("taps=")) {
        call.windows.taps = axes();
      } else if (accept("stride=")) {
        call.windows.stride = axes();
      } else if (accept("padding=")) {
        call.padding = axes();
      } else if (accept("dilation=")) {
        call.windows.dilation = axes();
      } else if (accept("groups=")) {
        call.windows.groups = integer<int>(word());
      } else if (accept("transposed=")) {
        call.windows.transposed = integer<int>(word()) != 0;
      } else if (accept("step=")) {
        call.step = integer<int>(word());
      } else if (operation == "size" || operation == "constant") {
        call.literal = balanced();
      } else {
        fail("wanted an operand, axes=[...] or )");
      }
      accept(",");
    }
  }

  void type(Call& call) {
    const std::string name = word();
    std::optional<Type> found;
    for (std::size_t i = 0; i < kTypeCount; ++i) {
      if (kTypes[i].text == name) found = static_cast<Type>(i);
    }
    if (!found) fail("unknown type \"" + name + "\"");
    call.type = *found;
    if (!accept("[")) return;
    while (!accept("]")) {
      call.shape.push_back(graph_->dims().parse(balanced()));
      accept(",");
    }
  }

  Value build(const std::string& operation, Call& call) {
    Graph& g = *graph_;
    if (operation == "input" || operation == "weight")
      return g.input(call.name, call.type, call.shape, operation == "weight");
    if (operation == "scalar") return g.scalar(call.name, call.type);
    if (operation == "constant") return constant(call);
    if (operation == "size") return g.size(g.dims().parse(call.literal), call.type);
    if (operation == "iota") return g.iota(call.shape, axis(call));
    if (call.operands.empty()) fail("\"" + operation + "\" wants operands");
    if (operation == "concat") return g.concat(call.operands, axis(call));
    if (operation == "cast") return g.cast(call.operands[0], call.type);
    if (operation == "permute") return g.permute(call.operands[0], call.axes);
    if (operation == "expand") return g.expand(call.operands[0], call.shape);
    if (operation == "slice") return slice(call);
    if (operation == "attention") return attention(call);
    if (operation == "matmul") {
      const std::vector<Value>& of = call.operands;
      if (of.size() == 3 && call.axes.size() == 1)
        return g.matmul_scaled(of[0], of[1], of[2], call.axes[0]);
      if (of.size() == 3 && call.axes.empty()) return g.matmul_grouped(of[0], of[1], of[2]);
      if (of.size() != 2) fail("matmul wants two operands, or three and perhaps axes=[bits]");
      return g.matmul(of[0], of[1]);
    }
    if (operation == "convolve") return convolve(call);
    if (operation == "max_pool") return g.pool(Op::max, call.operands[0], windows(call));
    if (operation == "sum_pool") return g.pool(Op::sum, call.operands[0], windows(call));
    if (operation == "sum_scan") return g.scan(Op::sum, call.operands[0], axis(call));
    if (operation == "prod_scan") return g.scan(Op::prod, call.operands[0], axis(call));
    if (operation == "gather") {
      if (call.operands.size() != 2) fail("gather wants two operands");
      return g.gather(call.operands[0], call.operands[1], axis(call));
    }
    if (operation == "reshape") return g.reshape(call.operands[0], call.shape);
    for (std::size_t i = 0; i < kOpCount; ++i) {
      if (kOps[i].name != operation) continue;
      if (kOps[i].family == Family::kReduce)
        return g.reduce(static_cast<Op>(i), call.operands[0], call.axes);
      return g.elementwise(static_cast<Op>(i), call.operands);
    }
    fail("unknown operation \"" + operation + "\"");
  }

  Value attention(const Call& call) {
    if (call.operands.size() != 3 && call.operands.size() != 4)
      fail("attention wants queries, keys, values and perhaps a mask");
    if (call.axes.size() < 2) fail("attention wants axes=[causal, nan_if_blind, order...]");
    std::optional<Value> mask;
    if (call.operands.size() == 4) mask = call.operands[3];
    Scoring scoring = call.scoring;
    scoring.causal = call.axes[0] != 0;
    scoring.nan_if_blind = call.axes[1] != 0;
    return graph_->attention(call.operands[0], call.operands[1], call.operands[2], mask, scoring,
                             {call.axes.begin() + 2, call.axes.end()});
  }

  static const Windows& windows(Call& call) {
    const auto half = static_cast<std::ptrdiff_t>(call.padding.size() / 2);
    call.windows.before.assign(call.padding.begin(), call.padding.begin() + half);
    call.windows.after.assign(call.padding.begin() + half, call.padding.end());
    return call.windows;
  }

  Value convolve(Call& call) {
    if (call.operands.size() != 2) fail("convolve wants two operands");
    return graph_->convolve(call.operands[0], call.operands[1], windows(call));
  }

  Value slice(const Call& call) {
    const int at = axis(call);
    if (call.start < 0 || at < 0 || at >= static_cast<int>(call.shape.size()))
      fail("a slice wants axes=[n], start=... and a shape");
    return graph_->slice(call.operands[0], at, call.start, call.shape[at], call.step);
  }

  Value constant(const Call& call) {
    const std::string& text = call.literal;
    if (info(call.type).kind == Kind::kFloat) {
      if (text == "nan") return graph_->constant(std::nan(""), call.type);
      double value = 0;
      if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
        fail("\"" + text + "\" is not a number");
      return graph_->constant(value, call.type);
    }
    return graph_->constant(integer<std::int64_t>(text), call.type);
  }

  // What a builder inferred must be what the text says.
  void check_shape(Value value, const Call& call) {
    const Node& node = graph_->node(value);
    bool same = node.type == call.type && node.shape.size() == call.shape.size();
    for (std::size_t i = 0; same && i < node.shape.size(); ++i)
      same = graph_->equal("text", node.shape[i], call.shape[i]);
    if (!same)
      fail("the operation gives " + type_text(*graph_, node) +
           ", which is not what follows the colon");
  }

  void outputs() {
    while (accept("%")) {
      const Value value = lookup(word());
      MemoryOrder order;
      if (accept("order=")) order = axes();
      graph_->output(value, std::move(order));
      accept(",");
    }
  }

  int axis(const Call& call) {
    if (call.axes.size() != 1) fail("wanted axes=[n]");
    return call.axes[0];
  }

  template <class Integer>
  Integer integer(const std::string& text) const {
    Integer value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      fail("\"" + text + "\" is not an integer");
    return value;
  }

  double real(const std::string& text) const {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size())
      fail("\"" + text + "\" is not a number");
    return value;
  }

  std::vector<int> axes() {
    std::vector<int> list;
    expect("[");
    while (!accept("]")) {
      list.push_back(integer<int>(word()));
      accept(",");
    }
    return list;
  }

  Value lookup(const std::string& name) {
    const auto it = values_.find(name);
    if (it == values_.end()) fail("%" + name + " is not defined yet");
    return it->second;
  }

  // Everything up to the comma or closing bracket that belongs to an outer level.
  std::string balanced() {
    skip();
    const std::size_t begin = at_;
    int depth = 0;
    for (; at_ < line_.size(); ++at_) {
      const char c = line_[at_];
      if (depth == 0 && (c == ',' || c == ')' || c == ']')) break;
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    }
    if (begin == at_) fail("something is missing");
    return std::string(line_.substr(begin, at_ - begin));
  }

  std::string word() {
    skip();
    const std::size_t begin = at_;
    while (at_ < line_.size() &&
           std::string_view(" ,()[]{}:=").find(line_[at_]) == std::string_view::npos)
      ++at_;
    if (begin == at_) fail("wanted a word");
    return std::string(line_.substr(begin, at_ - begin));
  }

  bool accept(std::string_view token) {
    skip();
    if (line_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail("wanted \"" + std::string(token) + "\"");
  }
  void skip() {
    while (at_ < line_.size() && line_[at_] == ' ') ++at_;
  }

  void next_line() {
    do {
      if (position_ >= text_.size()) fail("the text ends too early");
      const std::size_t end = std::min(text_.find('\n', position_), text_.size());
      line_ = std::string_view(text_).substr(position_, end - position_);
      position_ = end + 1;
      at_ = 0;
      ++number_;
      skip();
    } while (at_ == line_.size());
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument("[graph text] line " + std::to_string(number_) + ": " + what);
  }

  const std::string& text_;
  std::string_view line_;
  std::size_t position_ = 0;
  std::size_t at_ = 0;
  int number_ = 0;
  Graph* graph_ = nullptr;
  std::map<std::string, Value> values_;
};

}  // namespace

Graph parse_graph(const std::string& text) { return GraphParser(text).parse(); }

}  // namespace dvm
