// The server sends the section again whenever it has changed; its text was escaped there.
const section = document.querySelector("#live[data-source]");
const state = document.querySelector("#state");
if (section) {
  const source = new EventSource(section.dataset.source);
  const tell = (text) => { state.hidden = false; state.textContent = text; state.className = text.replace(" ", "-"); };
  source.onopen = () => tell("live");
  source.onerror = () => tell("not live");
  source.onmessage = (message) => { section.innerHTML = message.data; };
}
// A question before what cannot be taken back.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.sure;
  if (question && !confirm(question)) event.preventDefault();
});
