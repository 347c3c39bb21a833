#include "client.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

namespace trireme::proxy::test {

namespace {

struct Exchange {
  const Asked& asked;
  Answer answer;
  std::size_t sent = 0;
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* to) {
  auto& answer = static_cast<Exchange*>(to)->answer;
  std::string line(data, size);
  line.erase(line.find_last_not_of("\r\n") + 1);
  if (line.starts_with("HTTP/")) {
    answer.headers.clear();
  } else if (const auto colon = line.find(": "); colon != std::string::npos) {
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    answer.headers[name] = line.substr(colon + 2);
  }
  return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* to) {
  auto& exchange = *static_cast<Exchange*>(to);
  if (exchange.asked.download) {
    exchange.asked.download(data, size);
  } else {
    exchange.answer.body.append(data, size);
  }
  return size;
}

std::size_t on_read(char* to, std::size_t, std::size_t room, void* from) {
  const std::string piece = static_cast<Exchange*>(from)->asked.upload(room);
  std::memcpy(to, piece.data(), piece.size());
  return piece.size();
}

}  // namespace

Answer ask(const std::string& url, const Asked& asked) {
  Exchange exchange{asked, {}, 0};
  CURL* easy = curl_easy_init();
  REQUIRE(easy != nullptr);
  curl_slist* headers = nullptr;
  for (const auto& header : asked.headers) headers = curl_slist_append(headers, header.c_str());
  headers = curl_slist_append(headers, "Expect:");
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT, 60L);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  if (!asked.socket.empty()) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, asked.socket.c_str());
  if (asked.upload) {
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, &on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, &exchange);
  } else if (!asked.body.empty()) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(asked.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, asked.body.data());
  }
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, asked.method.c_str());
  if (asked.method == "HEAD")
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);  // else it waits for the body that is not sent
  const CURLcode code = curl_easy_perform(easy);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  exchange.answer.status = static_cast<int>(status);
  if (code != CURLE_OK) exchange.answer.error = curl_easy_strerror(code);
  curl_slist_free_all(headers);
  curl_easy_cleanup(easy);
  return exchange.answer;
}

Socket::Socket(std::uint16_t port) : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

Socket::~Socket() {
  close();
}

void Socket::write(const std::string& text) {
  REQUIRE(::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
}

void Socket::offer(const std::string& text) {
  (void)::send(descriptor_, text.data(), text.size(), MSG_NOSIGNAL);
}

std::string Socket::read_to_end() {
  for (;;) {
    pollfd waits{descriptor_, POLLIN, 0};
    REQUIRE(::poll(&waits, 1, 20'000) == 1);
    char data[4096];
    const ssize_t size = ::recv(descriptor_, data, sizeof data, 0);
    if (size <= 0) return std::exchange(unread_, {});
    unread_.append(data, static_cast<std::size_t>(size));
  }
}

std::string Socket::read_until(const std::string& text) {
  while (unread_.find(text) == std::string::npos) {
    pollfd waits{descriptor_, POLLIN, 0};
    REQUIRE(::poll(&waits, 1, 20'000) == 1);
    char data[4096];
    const ssize_t size = ::recv(descriptor_, data, sizeof data, 0);
    REQUIRE(size > 0);
    unread_.append(data, static_cast<std::size_t>(size));
  }
  return std::exchange(unread_, {});
}

bool Socket::silent() const {
  char byte = 0;
  return unread_.empty() && ::recv(descriptor_, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void Socket::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

}  // namespace trireme::proxy::test
