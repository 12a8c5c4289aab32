// SPDX-License-Identifier: Apache-2.0
// Takes the page's <main> anew every few seconds, and narrows the list of pods. Everything is there without it.
'use strict';
(() => {
	const every = 5000;
	const tools = document.getElementById('tools');
	const filter = document.createElement('input');
	const running = document.createElement('input');
	const label = document.createElement('label');

	filter.type = 'search';
	filter.id = 'filter';
	filter.placeholder = 'pods …';
	running.type = 'checkbox';
	running.id = 'running';
	running.checked = true;
	label.append(running, ' live');
	tools.append(filter, ' ', label);

	const narrow = () => {
		for (const row of document.querySelectorAll('#pods tbody tr'))
			row.hidden = !row.textContent.includes(filter.value);
	};
	const renew = async () => {
		try {
			const answer = await fetch('/', { cache: 'no-store' });
			const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').querySelector('main');

			if (answer.ok && fresh)
				document.querySelector('main').replaceWith(document.adoptNode(fresh));
			document.body.dataset.state = 'live';
		} catch (e) {
			document.body.dataset.state = 'lost';
		}
		narrow();
	};
	filter.addEventListener('input', narrow);
	setInterval(() => {
		if (running.checked && !document.hidden)
			renew();
	}, every);
	document.body.dataset.state = 'ready';
})();
