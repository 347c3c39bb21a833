#include "node/transfer.hpp"

#include <curl/curl.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "core/defaults.hpp"

namespace trireme {
namespace {

struct Sink {
  std::FILE* file = nullptr;
  int error = 0;
};

std::size_t write_to_file(char* data, std::size_t size, std::size_t count, void* context) {
  auto& sink = *static_cast<Sink*>(context);
  const std::size_t wrote = std::fwrite(data, size, count, sink.file);
  if (wrote != count) sink.error = errno;
  return wrote * size;
}

int check_stop(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::stop_token*>(context)->stop_requested() ? 1 : 0;
}

}  // namespace

Status transfer(const std::string& url, const std::string& file, const std::stop_token& stop) {
  const auto failed = [&](const std::string& why) {
    return Error{"cannot fetch " + url + ": " + why, "", "", ExitCode::runtime_failed};
  };
  Sink sink{std::fopen(file.c_str(), "wxe")};
  if (sink.file == nullptr) return failed(std::generic_category().message(errno));
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(), &curl_easy_cleanup);
  CURL* const curl = handle.get();
  if (curl == nullptr) {
    std::fclose(sink.file);
    return failed("libcurl does not start");
  }
  std::array<char, CURL_ERROR_SIZE> words{};
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https,file");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(defaults::transfer_connect.count()));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(defaults::transfer_stall.count()));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words.data());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &write_to_file);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &sink);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &check_stop);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, const_cast<std::stop_token*>(&stop));
  const CURLcode result = curl_easy_perform(curl);
  if (std::fclose(sink.file) != 0 && sink.error == 0) sink.error = errno;
  if (sink.error != 0) return failed(std::generic_category().message(sink.error));
  if (result != CURLE_OK) return failed(words[0] != '\0' ? words.data() : curl_easy_strerror(result));
  return {};
}

}  // namespace trireme
