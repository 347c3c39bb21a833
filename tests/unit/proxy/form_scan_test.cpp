// Forms with files: whose field `model` is found, wherever it stands, and what is no form.
#include "proxy/front/form_scan.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

using namespace trireme::proxy;

namespace {

using State = BodyScan::State;

const std::string file =
    "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    "RIFF\r\n--\r\n--a\r\n\r\nname=\"model\"\r\n-\r\n";

std::string field(const std::string& disposition, const std::string& value) {
  return "--b\r\nContent-Disposition: " + disposition + "\r\n\r\n" + value + "\r\n";
}
std::string model(const std::string& value) {
  return field("form-data; name=\"model\"", value);
}

/// What is found in the whole body, after it was found to be the same in pieces of every kind.
FormScan found(const std::string& body) {
  FormScan whole("b");
  whole.look(body);
  std::minstd_rand random(1);
  for (const std::size_t most : {1u, 2u, 3u, 7u, 64u}) {
    CAPTURE(most);
    FormScan pieces("b");
    for (std::size_t size = 0; size < body.size();) {
      size = std::min(body.size(), size + 1 + random() % most);
      pieces.look(std::string_view(body).substr(0, size));
    }
    CHECK(pieces.state() == whole.state());
    CHECK(pieces.failure() == whole.failure());
    CHECK(pieces.model() == whole.model());
    CHECK(pieces.model_place() == whole.model_place());
  }
  return whole;
}

}  // namespace

TEST_CASE("form: the model is found before the file and behind it, with a preamble and without") {
  const std::string end = "--b--\r\n";
  for (const std::string& body :
       {model("whisper-1") + file + end, file + model("whisper-1") + end, "hello\r\n" + file + model("whisper-1") + end,
        file + model("whisper-1") + "--b--", model("whisper-1") + file + end + "--b\r\nand whatever follows",
        "--b \t\r\nX: y\r\ncontent-disposition:form-data;filenames=x;name=model\r\n\r\nwhisper-1\r\n" + file + end,
        field("form-data; x=\"a;name=\\\"b\"; NAME=\"model\"", "whisper-1") + end}) {
    CAPTURE(body);
    const FormScan form = found(body);
    CHECK(form.state() == State::complete);
    CHECK(form.model() == "whisper-1");
    CHECK(body.substr(form.model_place().begin, form.model_place().size) == "whisper-1");
  }
}

TEST_CASE("form: what is no field `model` is none") {
  for (const std::string& body :
       {file + "--b--", field("form-data; name=\"model\"; filename=\"m\"", "x") + "--b--",
        field("form-data; name=\"models\"", "x") + "--b--", field("form-data; name=\"\"", "model") + "--b--",
        std::string("--b\r\n\r\nname=\"model\"\r\n--b--"), model("") + "--b--",
        std::string("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n--b--"), std::string("--b--")}) {
    CAPTURE(body);
    const FormScan form = found(body);
    CHECK(form.state() == State::complete);
    CHECK(form.model().empty());
  }
}

TEST_CASE("form: a body that ends too early is not complete") {
  const std::string body = file + model("whisper-1") + "--b--";
  for (std::size_t size = 0; size < body.size(); ++size) {
    CAPTURE(size);
    CHECK(found(body.substr(0, size)).state() == State::reading);
  }
}

TEST_CASE("form: what two servers could read in two ways, or without bounds, fails") {
  const std::string name(BodyScan::max_model_name, 'm');
  CHECK(found(model(name) + "--b--").model() == name);
  for (const std::string& body :
       {model("a") + file + model("b") + "--b--", model(name + "m") + "--b--", model(std::string(10'000, 'm')),
        std::string("--bc\r\n"), "--b\r\nX: " + std::string(FormScan::max_part_head, 'x'),
        "--b" + std::string(10'000, ' ')}) {
    CAPTURE(body.substr(0, 100));
    CHECK(found(body).state() == State::failed);
  }
}

TEST_CASE("form: the boundary is what the Content-Type says") {
  const auto boundary = [](const char* type) { return boundary_of({{"Content-Type", type}}).value_or("none"); };
  CHECK(boundary("multipart/form-data; boundary=abc") == "abc");
  CHECK(boundary("multipart/form-data; charset=utf-8;BOUNDARY=\"a b;c\"; x=y") == "a b;c");
  CHECK(boundary("multipart/form-data; boundary = abc ; x=y") == "abc");
  CHECK(boundary("multipart/form-data") == "none");
  CHECK(boundary("multipart/form-data; boundary") == "none");
  CHECK(boundary("multipart/form-data; boundary=") == "none");
  CHECK(boundary(("multipart/form-data; boundary=" + std::string(201, 'x')).c_str()) == "none");
  CHECK(is_form({{"Content-Type", "Multipart/Form-Data; boundary=x"}}));
  CHECK(is_form({{"Content-Type", "multipart/form-data"}}));
  CHECK_FALSE(is_form({{"Content-Type", "multipart/form-datas"}}));
  CHECK_FALSE(is_form({{"Content-Type", "multipart/mixed; boundary=x"}}));
  CHECK_FALSE(is_form({}));
}
