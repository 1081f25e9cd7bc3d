// Facts: divisors, ranges, products and likely values, and how long deciding takes. Dims are dims_test.cpp's.
#include "symbols/facts.h"

#include <cstdint>
#include <ctime>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "graph/text.h"
#include "random_dims.h"
#include "symbols/dim_values.h"

namespace dvm {
namespace {

struct Known {
  Facts facts;
  Dim operator()(const std::string& text) { return facts.dims().parse(text); }
  std::vector<Dim> shape(std::initializer_list<const char*> texts) {
    std::vector<Dim> dims;
    for (const char* text : texts) dims.push_back((*this)(text));
    return dims;
  }
  bool multiple(const char* dim, std::int64_t by) {
    return facts.state({.kind = FactKind::kMultiple, .a = (*this)(dim), .numbers = {by}});
  }
  bool range(const char* dim, std::int64_t low, std::int64_t high) {
    return facts.state({.kind = FactKind::kRange, .a = (*this)(dim), .numbers = {low, high}});
  }
  bool equal(const char* a, const char* b) {
    return facts.state({.kind = FactKind::kEqual, .a = (*this)(a), .b = (*this)(b)});
  }
};

TEST(multiples_propagate) {
  Known k;
  CHECK(k.multiple("n", 8));
  CHECK(k.facts.divisible(k("n"), 4));
  CHECK(!k.facts.divisible(k("n"), 16));
  CHECK(k.facts.divisible(k("n*6"), 16));
  CHECK(k.facts.divisible(k("n*m+16"), 8));
  CHECK(k.facts.divisible(k("8*m"), 8));
  CHECK(k.facts.divisible(k("n//2"), 4));
  CHECK(k.facts.divisible(k("max(n,24)"), 8));
  CHECK(!k.facts.divisible(k("n+m"), 2));
  CHECK(k.facts.dims().is_constant(k("n%8"), 0));
  CHECK(k.multiple("p+q", 3));
  CHECK(k.facts.divisible(k("2*p+2*q"), 6));
  CHECK(k.multiple("n", 12));
  CHECK(k.facts.divisor(k("n")) == 24);
}

TEST(a_remainder_of_zero_is_a_multiple) {
  Known k;
  CHECK(k.equal("n%8", "0"));
  CHECK(k.facts.divisible(k("n"), 8));
  CHECK(k.equal("m", "n"));
  CHECK(k.facts.divisible(k("m+8"), 8));
}

TEST(ranges_propagate) {
  Known k;
  CHECK(k.range("n", 2, 10));
  const auto range = [&](const char* text) { return k.facts.range(k(text)); };
  CHECK(range("n") == (Range{2, 10}));
  CHECK(range("3*n-1") == (Range{5, 29}));
  CHECK(range("10-n") == (Range{0, 8}));
  CHECK(range("n*n") == (Range{4, 100}));
  CHECK(range("n//3") == (Range{0, 3}));
  CHECK(range("min(n,4)") == (Range{2, 4}));
  CHECK(range("max(n,m)") == (Range{2, Range::kMost}));
  CHECK(range("m%5") == (Range{0, 4}));
  CHECK(range("m") == (Range{0, Range::kMost}));
  CHECK(k.equal("n", "m"));
  CHECK(range("m+1") == (Range{3, 11}));
}

TEST(ranges_hold_for_all_values_within) {
  std::mt19937 random(9);
  for (int round = 0; round < 1500; ++round) {
    Known k;
    for (const char* name : {"a", "b", "c", "d"}) CHECK(k.range(name, 0, 19));
    CHECK(k.multiple("b", 2));
    const Expression e = random_expression(k.facts.dims(), random, 3);
    const Range range = k.facts.range(e.dim);
    const std::int64_t divisor = k.facts.divisor(e.dim);
    for (int i = 0; i < 10; ++i) {
      Values values = random_values(random);
      values["b"] &= ~1;
      const std::int64_t value = e.value(values);
      CHECK(range.low <= value && value <= range.high);
      CHECK(divisor == 0 ? value == 0 : value % divisor == 0);
      CHECK(k.facts.could_be(e.dim, value));
    }
  }
}

TEST(a_range_of_one_value_is_the_value) {
  Known k;
  CHECK(k.range("n", 5, 9));
  CHECK(k.range("n", 1, 5));
  CHECK(k.facts.dims().is_constant(k("n"), 5));
}

TEST(facts_that_exclude_each_other_are_refused) {
  Known k;
  CHECK(k.range("n", 5, 9));
  CHECK(!k.range("n", 10, 12));
  Known j;
  CHECK(j.multiple("n", 8));
  CHECK(!j.equal("n", "12"));
  Known i;
  CHECK(i.range("n", 1, 4) && i.range("m", 6, 9));
  CHECK(!i.equal("n", "m"));
}

TEST(a_broadcast_is_needed_where_a_size_could_be_1) {
  Known k;
  CHECK(k.facts.could_be(k("n"), 1));
  CHECK(k.multiple("n", 8));
  CHECK(!k.facts.could_be(k("n"), 1));
  CHECK(k.facts.could_be(k("n"), 0));
  CHECK(k.range("m", 2, 100));
  CHECK(!k.facts.could_be(k("m"), 1));
  CHECK(!k.facts.could_be(k("m+3"), 4));
}

TEST(element_counts_are_compared_as_products) {
  Known k;
  CHECK(k.facts.same_count(k.shape({"b", "s", "h*d"}), k.shape({"b*s", "h", "d"})));
  CHECK(!k.facts.same_count(k.shape({"b", "s"}), k.shape({"b", "t"})));
  CHECK(!k.facts.same_count(k.shape({"n"}), k.shape({"n//8", "8"})));
  CHECK(k.multiple("n", 8));
  CHECK(k.facts.same_count(k.shape({"n"}), k.shape({"n//8", "8"})));
  CHECK(k.facts.same_count(k.shape({"n", "n"}), k.shape({"n//8", "n//4", "32"})));
  CHECK(k.facts.same(k("(n//8)*8"), k("n")));
}

TEST(shapes_fall_into_groups_of_equal_products) {
  Known k;
  using Groups = std::vector<DimGroup>;
  const auto groups = [&](auto from, auto to) {
    return k.facts.groups(k.shape(from), k.shape(to));
  };
  using Texts = std::initializer_list<const char*>;
  CHECK(groups(Texts{"b", "s", "h*d"}, Texts{"b*s", "h", "d"}) ==
        (Groups{{0, 2, 0, 1}, {2, 3, 1, 3}}));
  CHECK(groups(Texts{"a", "b"}, Texts{"a", "b"}) == (Groups{{0, 1, 0, 1}, {1, 2, 1, 2}}));
  CHECK(groups(Texts{"a", "b"}, Texts{"b", "a"}) == (Groups{{0, 2, 0, 2}}));
  CHECK(groups(Texts{"6", "n"}, Texts{"2", "3", "n"}) == (Groups{{0, 1, 0, 2}, {1, 2, 2, 3}}));
}

TEST(likely_values_are_kept) {
  Known k;
  CHECK(k.facts.state({.kind = FactKind::kLikely, .a = k("n"), .numbers = {1, 128}}));
  CHECK(k.equal("n", "m"));
  CHECK(k.facts.likely(k("m")) == (std::vector<std::int64_t>{1, 128}));
}

TEST(facts_without_meaning_are_refused) {
  Known k;
  CHECK(test::throws([&] { (void)k.multiple("n", 0); },
                     "[fact] multiple(n, 0): a multiple is of one positive number"));
}

TEST(graph_text_keeps_facts) {
  const std::string text =
      "graph g {\n"
      "  fact multiple(n, 8)\n"
      "  %0 = input x : f32[n, m]\n"
      "  fact equal(m, k)\n"
      "  fact range((n+1), 2, 513)\n"
      "  fact likely(n, 1, 128)\n"
      "  %1 = input y : f32[m]\n"
      "  %2 = add(%0, %1) : f32[n, m]\n"
      "  return %2\n"
      "}\n";
  CHECK(print(parse_graph(text)) == text);
  CHECK(test::throws([] { parse_graph("graph g {\n  fact odd(n)\n"); },
                     "line 2: unknown fact \"odd\""));
  CHECK(test::throws([] { parse_graph("graph g {\n  fact equal(2, 3)\n"); },
                     "equal(2, 3) contradicts"));
}

// Seconds for the dims, facts and questions of a graph of `nodes` operations: equalities in an order that makes
// chains and classes, products of reshapes, and one of each question per operation.
double seconds_for(int nodes) {
  const std::clock_t begin = std::clock();
  Facts facts;
  Dims& dims = facts.dims();
  int answers = 0;
  Dim last = dims.symbol("s0");
  std::vector<Dim> sizes;
  for (int i = 1; i <= nodes; ++i) {
    const Dim s = dims.symbol("s" + std::to_string(i));
    const Dim next = dims.binary(DimOp::kAdd, s, dims.constant(1));
    sizes.push_back(dims.binary(DimOp::kMultiply, next, dims.symbol("h")));
    switch (i % 4) {
      case 0:
        answers += facts.state({.kind = FactKind::kMultiple, .a = s, .numbers = {8}});
        break;
      case 1:
        answers += facts.equal(s, last, "add", i);
        break;
      case 2:
        answers += facts.equal(dims.binary(DimOp::kMultiply, s, dims.constant(2)),
                               dims.binary(DimOp::kMultiply, last, dims.constant(2)), "reshape", i);
        break;
      default:
        answers += facts.state({.kind = FactKind::kRange, .a = s, .numbers = {1, 1000}});
    }
    last = i % 7 == 0 ? s : last;
    const std::vector<Dim> a{s, next, dims.symbol("h")}, b{s, sizes.back()};
    answers += facts.same_count(a, b) + facts.divisible(sizes.back(), 8) + facts.could_be(next, 1);
  }
  // Backwards: each class meets the ones before it.
  for (int i = nodes - 1; i > 0; --i) answers += facts.equal(sizes[i], sizes[i - 1], "cat", i);
  CHECK(answers > nodes);
  CHECK(dims.same(sizes.front(), sizes.back()));
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

TEST(deciding_is_near_linear) {
  double small = 9, large = 9;
  for (int round = 0; round < 3; ++round) {
    small = std::min(small, seconds_for(10'000));
    large = std::min(large, seconds_for(40'000));
  }
  std::cerr << "        10 000 nodes: " << small * 1e3 << " ms, 40 000: " << large * 1e3 << " ms\n";
  CHECK(small < 1);          // sanitized and on a busy machine
  CHECK(large < 9 * small);  // quadratic would be 16 times
}

}  // namespace
}  // namespace dvm
