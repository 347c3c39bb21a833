// The codec against Boost.Beast's parser: random mutations of real messages, from a fixed seed.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "../../../fuzz/http_oracle.hpp"

using namespace trireme::proxy::http;

namespace {

const std::vector<std::string> requests = {
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Type: application/json\r\n"
    "Content-Length: 13\r\n\r\n{\"model\":\"a\"}",
    "POST /x?y=z HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n"
    "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
    "GET /a HTTP/1.0\r\nConnection: keep-alive\r\nX: y\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "PUT http://h/p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nAccept: */*\r\n\r\n",
};
const std::vector<std::string> responses = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\nno such thing",
    "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
};
const std::vector<std::string> dictionary = {"\r\n",
                                             "\n",
                                             "\r",
                                             " ",
                                             "\t",
                                             ":",
                                             ";",
                                             ",",
                                             "0",
                                             "chunked",
                                             "close",
                                             "Content-Length: 3\r\n",
                                             "Transfer-Encoding: chunked\r\n",
                                             "Host: h\r\n",
                                             "keep-alive",
                                             "HTTP/1.0",
                                             "HTTP/1.1",
                                             "Connection: ",
                                             "identity",
                                             "gzip, ",
                                             "ffffffff",
                                             "\x80",
                                             "\"",
                                             "X: y\r\n",
                                             "Upgrade: h2c\r\n"};

class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  std::string operator()(const std::vector<std::string>& seeds) {
    std::string text = seeds[below(seeds.size())];
    for (std::size_t i = 1 + below(3); i > 0; --i) mutate(text, seeds);
    return text;
  }

 private:
  std::size_t below(std::size_t bound) { return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_); }
  void mutate(std::string& text, const std::vector<std::string>& seeds) {
    if (text.empty()) text = seeds[0];
    const std::size_t at = below(text.size());
    switch (below(6)) {
      case 0:
        text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text.erase(at, 1 + below(4));
        break;
      case 2:
        text.insert(at, dictionary[below(dictionary.size())]);
        break;
      case 3:  // a line twice, or in another place
        if (const auto end = text.find('\n', at); end != std::string::npos) {
          text.insert(end + 1, text.substr(at, end + 1 - at));
        }
        break;
      case 4: {
        const std::string& other = seeds[below(seeds.size())];
        text.insert(at, other.substr(below(other.size()), 1 + below(30)));
        break;
      }
      case 5:
        text[at] = static_cast<char>(text[at] ^ 0x20);
        break;
    }
  }

  std::mt19937 random_;
};

template <bool request>
void hold_against_beast(const std::vector<std::string>& seeds, unsigned seed) {
  for (const std::string& text : seeds) {
    const Opinion opinion = compare_with_beast<request>(text);
    REQUIRE_MESSAGE(opinion.verdict == Verdict::agreed, opinion.what, text);
  }
  Mutator mutator(seed);
  int agreed = 0;
  int refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Opinion opinion = compare_with_beast<request>(mutator(seeds));
    REQUIRE_MESSAGE(opinion.verdict != Verdict::disagreed, opinion.what);
    agreed += opinion.verdict == Verdict::agreed;
    refused += opinion.verdict == Verdict::refused;
  }
  // The mutations must be neither too tame nor too wild to say anything.
  CHECK(agreed > 2'000);
  CHECK(refused > 2'000);
}

}  // namespace

TEST_CASE("a request that is accepted, Beast accepts too and reads the same") {
  hold_against_beast<true>(requests, 20260101);
}

TEST_CASE("a response that is accepted, Beast accepts too and reads the same") {
  hold_against_beast<false>(responses, 20260102);
}
