//! Every text of the pages, in one table: a line without one of its languages does not compile.

use crate::contract::check::Language;
use crate::engine::field::{Field, Level};
use crate::pipeline::desk::{RulingKind, Status};

macro_rules! texts {
    ($($name:ident: $en:literal, $ru:literal;)*) => {
        /// The texts of one language.
        #[derive(Debug)]
        pub struct Texts {
            $(pub $name: &'static str,)*
            of: Language,
        }

        const EN: Texts = Texts { $($name: $en,)* of: Language::En };
        const RU: Texts = Texts { $($name: $ru,)* of: Language::Ru };

        /// Name, English, Russian.
        #[cfg(test)]
        const TABLE: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $ru),)*];
    };
}

texts! {
    // Around every page.
    skip: "Skip to content", "К содержанию";
    navigation: "Sections", "Разделы";
    overview: "Overview", "Обзор";
    referrals: "Referrals", "Очередь";
    explore: "Explore", "Поиск";
    rules: "Rules", "Правила";
    operations: "Operations", "Система";
    audit: "Audit", "Аудит";
    accounts: "Accounts", "Учётные записи";
    theme: "Theme", "Тема";
    theme_auto: "Auto", "Авто";
    theme_light: "Light", "Светлая";
    theme_dark: "Dark", "Тёмная";
    language: "Language", "Язык";
    account: "Account", "Профиль";
    keys_help: "Keyboard", "Клавиши";
    key_move: "next, previous case of the list", "следующее, предыдущее дело в списке";
    key_open: "open the marked case", "открыть отмеченное дело";
    key_clear: "clear", "честный клиент";
    key_confirm: "confirm", "подтвердить подбор";
    key_proof: "ask for proof", "запросить документы";
    key_next: "take the next case", "взять следующее дело";
    key_up: "back to the queue", "назад к очереди";
    key_help: "this list", "этот список";
    close: "Close", "Закрыть";
    loading: "Loading", "Загрузка";
    times_in: "Times in", "Время в поясе";
    live: "live", "обновляется";

    // Logging in.
    log_in: "Log in", "Войти";
    log_in_title: "Log in to the console", "Вход в консоль";
    log_out: "Log out", "Выйти";
    log_out_everywhere: "Log out everywhere", "Выйти на всех устройствах";
    name: "Name", "Имя";
    password: "Password", "Пароль";
    log_in_sso: "Log in through your company", "Войти через учётную запись компании";
    log_in_failed: "Name or password is wrong. After several attempts each next one has to wait.",
        "Неверное имя или пароль. После нескольких попыток следующую придётся подождать.";
    log_in_expired: "The session has ended. Log in again.", "Сеанс завершён. Войдите снова.";
    log_in_form_expired: "The form was too old. Try again.", "Форма устарела. Попробуйте ещё раз.";
    sso_failed: "The company's log-in did not work. Try again, or ask an administrator.",
        "Вход через компанию не удался. Повторите или обратитесь к администратору.";
    sso_no_role: "Your company knows you, but has given you no role here. Ask an administrator of your company's accounts for one.",
        "Компания вас знает, но роль здесь вам не назначена. Обратитесь к администратору учётных записей компании.";
    sso_no_tenant: "Your company's account does not say which tenant you work for. Ask an administrator of your company's accounts.",
        "В учётной записи компании не указано, на кого вы работаете. Обратитесь к администратору учётных записей компании.";
    sso_no_place: "No access", "Нет доступа";
    sso_away: "Your company's log-in does not answer. Try again in a moment.", "Вход через компанию сейчас не отвечает. Повторите через минуту.";
    sso_state: "This log-in was not begun in this browser, or took more than ten minutes. Try again.",
        "Этот вход начат не в этом браузере или занял больше десяти минут. Попробуйте ещё раз.";
    sso_declined: "The log-in was broken off at your company. Try again.", "Вход прерван на стороне компании. Попробуйте ещё раз.";
    sso_disabled: "This account is disabled. Ask an administrator.", "Эта учётная запись отключена. Обратитесь к администратору.";
    sso_out: "You are logged out", "Вы вышли";
    sso_out_text: "Your session with your company goes on. On a machine that others use, end it as well.",
        "Сеанс в учётной записи компании продолжается. Если за этим компьютером работают и другие, завершите и его.";
    sso_end: "Log out at the company", "Выйти из учётной записи компании";
    log_in_again: "Log in again", "Войти снова";
    log_in_local: "With an account of this console", "С учётной записью этой консоли";
    log_in_local_off: "Accounts of this console are switched off. Log in through your company.",
        "Учётные записи этой консоли отключены. Войдите через компанию.";
    change_password: "Change the password", "Сменить пароль";
    change_password_first: "Choose a password of your own before you go on.", "Прежде чем продолжить, задайте собственный пароль.";
    password_now: "Present password", "Текущий пароль";
    password_new: "New password", "Новый пароль";
    password_again: "New password again", "Новый пароль ещё раз";
    password_rule: "At least 12 characters. A few words in a row do well.", "Не менее 12 символов. Хорошо подходят несколько слов подряд.";
    password_short: "The new password is too short: give at least 12 characters.", "Новый пароль короткий: нужно не менее 12 символов.";
    password_long: "The new password is too long: give at most 256 characters.", "Новый пароль длинный: не более 256 символов.";
    password_plain: "The new password is the name or the old password. Choose another one.",
        "Новый пароль совпадает с именем или старым паролем. Выберите другой.";
    password_differs: "The two new passwords differ.", "Новые пароли не совпадают.";
    password_wrong: "The present password is wrong.", "Текущий пароль неверен.";
    password_changed: "The password is changed. Other sessions have ended.", "Пароль сменён. Остальные сеансы завершены.";

    // What went wrong.
    wrong_title: "That did not work", "Не получилось";
    not_allowed: "Your role does not open this.", "Ваша роль этого не позволяет.";
    not_found: "There is nothing here.", "Здесь ничего нет.";
    no_case: "There is no such case, or it is another tenant's.", "Такого дела нет, либо оно другой компании.";
    form_forged: "The form was not from this session, so nothing was done. Go back, reload the page and try again.",
        "Форма не из этого сеанса, поэтому ничего не сделано. Вернитесь, обновите страницу и повторите.";
    form_bad: "The form could not be read. Go back and try again.", "Форму не удалось прочитать. Вернитесь и повторите.";
    form_large: "The form is too large.", "Форма слишком велика.";
    stale: "Somebody has changed this case since you opened it. Nothing was done; below is how it stands now.",
        "Дело изменилось, пока вы его смотрели. Ничего не сделано; ниже его нынешнее состояние.";
    no_transition: "This case cannot be changed like that now.", "Сейчас с этим делом так поступить нельзя.";
    taken: "Somebody else works on this case:", "С этим делом работает другой:";
    too_long: "The text is too long. Characters:", "Текст слишком длинный. Символов:";
    at_most: "at most", "не более";
    store_down: "The desk's database does not answer. Decisions go on; try again in a moment.",
        "База данных не отвечает. Решения принимаются; повторите через минуту.";
    not_recorded: "It is not known whether the ruling was recorded. Look at the case again before you repeat it.",
        "Неизвестно, записано ли решение. Проверьте дело, прежде чем повторять.";
    back: "Back", "Назад";

    // Overview.
    health: "Health", "Состояние";
    health_ready: "Quotes are taken and decided.", "Заявки принимаются, решения выносятся.";
    health_starting: "The window of earlier quotes is being loaded.", "Загружается окно прежних заявок.";
    health_down: "Nothing can be made durable now; what was accepted waits.", "Сейчас ничего нельзя сохранить; принятое ждёт.";
    health_stopping: "The service is stopping.", "Служба останавливается.";
    partition_stopped: "A partition is stopped.", "Раздел остановлен.";
    decisions_minute: "Decisions a minute, last hour", "Решений в минуту за последний час";
    decisions_hour: "Decisions, last hour", "Решений за час";
    answer_time: "Time to the answer", "Время ответа";
    open_referrals: "Open referrals", "Открытых дел";
    oldest: "oldest", "старейшее";
    opened_today: "Opened today", "Открыто сегодня";
    proof_waiting: "Waiting for proof", "Ждут документов";
    premium_protected: "Premium protected today", "Премии защищено сегодня";
    top_rules: "Rules today", "Правила сегодня";
    rule: "Rule", "Правило";
    hits: "Hits", "Сработало";
    precision: "Precision", "Точность";
    precision_hint: "share of confirmed among ruled cases", "доля подтверждённых среди решённых дел";
    latest: "Latest decisions", "Последние решения";
    no_decisions: "No decisions yet. Quotes come through the API, a topic or the watched folder.",
        "Решений пока нет. Заявки приходят через API, топик или папку.";
    no_rules: "No rule has matched today.", "Сегодня ни одно правило не сработало.";

    // Verdicts, levels, statuses.
    accept: "accept", "принять";
    flag: "flag", "отметить";
    refer: "refer", "передать";
    level_disguised: "disguised by look-alike or invisible characters", "замаскировано похожими или невидимыми символами";
    level_near: "near: a small change", "близко: небольшая правка";
    level_different: "different", "другое значение";
    sign_disguised: "disguised", "замаскировано";
    sign_near: "near", "близко";
    level_missing: "not given", "не указано";
    level_same: "the same", "то же";
    status: "Status", "Статус";
    open: "open", "открыто";
    cleared: "cleared", "снято";
    confirmed: "confirmed", "подтверждено";
    proof_requested: "proof requested", "ждём документы";
    reopened: "reopened", "открыто снова";
    snoozed: "rule snoozed", "правило отложено";
    erased: "data erased", "данные удалены";

    // The queue.
    queue_empty: "Nobody waits. New referrals appear here by themselves.", "Никто не ждёт. Новые дела появятся здесь сами.";
    queue_filtered: "No case matches the filter.", "Под фильтр ничего не попадает.";
    waiting: "waiting", "ждут решения";
    all_waiting: "All waiting", "Все ожидающие";
    age: "Age", "Возраст";
    reason: "Reason", "Причина";
    applicant: "Applicant", "Заявитель";
    premium: "Premium", "Премия";
    quotes: "Referred", "Передано";
    variants: "Versions", "Версий";
    tenant: "Tenant", "Компания";
    assignee: "Assigned", "Исполнитель";
    anybody: "Anybody", "Любой";
    nobody: "Nobody", "Никто";
    me: "Me", "Я";
    filter: "Filter", "Показать";
    reset: "Reset", "Сбросить";
    next_page: "Next page", "Дальше";
    first_page: "First page", "В начало";
    take_next: "Take the next case", "Взять следующее дело";
    works_on: "is on it", "работает";
    case: "Case", "Дело";

    // A case.
    why: "Why it was referred", "Почему передано";
    quotes_of: "quotes", "заявок";
    versions_of: "contradicting versions of the facts", "противоречивых версий данных";
    within: "within", "за";
    facts_changed: "Changed facts", "Изменены факты";
    choices_changed: "Changed choices", "Изменены условия";
    price_fell: "The price fell", "Цена снизилась";
    price_rose: "The price did not fall", "Цена не снизилась";
    from: "from", "с";
    to: "to", "до";
    rule_says: "What the rules say", "Что сообщают правила";
    matrix: "What changed from quote to quote", "Что менялось от заявки к заявке";
    matrix_hint: "Columns are the applicant's quotes in time, the newest on the right. A mark compares with the quote before.",
        "Столбцы — заявки по времени, новейшая справа. Знак сравнивает с предыдущей заявкой.";
    field: "Field", "Поле";
    unchanged: "The same in every quote", "Одинаково во всех заявках";
    referred_mark: "referred", "передана";
    form_gone: "The form is not kept any more.", "Форма больше не хранится.";
    columns_hidden: "Earlier quotes not shown:", "Не показано ранних заявок:";
    show: "show", "открыть";
    show_all: "Show personal data", "Открыть персональные данные";
    shown_until: "Personal data is open until", "Персональные данные открыты до";
    hide: "Hide", "Скрыть";
    shown_hint: "Each opening is recorded.", "Каждое открытие записывается.";
    decide: "Decide", "Решение";
    do_clear: "Cleared", "Честный клиент";
    do_confirm: "Confirmed", "Подбор подтверждён";
    do_proof: "Ask for proof", "Запросить документы";
    do_reopen: "Reopen", "Открыть снова";
    do_clear_hint: "later quotes with these data pass for 90 days", "те же данные не будут передаваться 90 дней";
    do_confirm_hint: "new versions from the same source are referred for 90 days", "новые версии из того же источника передаются 90 дней";
    do_proof_hint: "the case waits for the applicant's documents", "дело ждёт документов заявителя";
    ruled: "Recorded.", "Записано.";
    ruled_slow: "Recorded; this page will show it in a moment.", "Записано; страница покажет это через мгновение.";
    next_case: "Next case", "Следующее дело";
    no_next: "Nobody else waits.", "Больше никто не ждёт.";
    take: "Take", "Взять";
    release: "Give back", "Вернуть";
    you_work: "You work on it until", "Вы работаете над делом до";
    assign: "Assign", "Назначить";
    snooze: "Snooze the rule", "Отложить правило";
    snooze_hint: "The rule does not apply to this applicant until then.", "До этого срока правило к заявителю не применяется.";
    days: "d", "дн";
    comment: "Comment", "Комментарий";
    comment_add: "Add the comment", "Добавить комментарий";
    comment_erased: "A comment that was erased", "Комментарий удалён";
    history: "History", "История";
    history_empty: "Nothing has happened yet.", "Пока ничего не было.";
    opened: "Case opened", "Дело открыто";
    claimed: "Taken", "Взято";
    released: "Given back", "Возвращено";
    assigned_to: "Assigned", "Назначено";
    to_nobody: "to nobody", "никому";
    amended: "A late quote has changed a decision", "Поздняя заявка изменила решение";
    related: "Related cases", "Связанные дела";
    shared_quotes: "shared quotes", "общих заявок";
    decisions: "Decisions", "Решения";
    revision: "revision", "редакция";
    until: "until", "до";
    done_comment: "The comment is added.", "Комментарий добавлен.";
    done_assign: "Assigned.", "Назначено.";
    done_claim: "The case is yours.", "Дело за вами.";
    done_release: "Given back.", "Дело возвращено.";
    done_snooze: "The rule is snoozed for this applicant.", "Правило для заявителя отложено.";

    // Fields of a form.
    f_last_name: "Last name", "Фамилия";
    f_first_name: "First name", "Имя";
    f_middle_name: "Middle name", "Отчество";
    f_birth_date: "Birth date", "Дата рождения";
    f_id_document: "Identity document", "Паспорт";
    f_driver_licence: "Driving licence", "Водительское удостоверение";
    f_phone: "Phone", "Телефон";
    f_email: "E-mail", "Эл. почта";
    f_address: "Address", "Адрес";
    f_vin: "VIN", "VIN";
    f_plate: "Plate", "Госномер";
    f_make_model: "Make and model", "Марка и модель";
    f_year: "Vehicle year", "Год выпуска";
    f_power: "Power, hp", "Мощность (л. с.)";
    f_driver_data: "Drivers' data", "Данные водителей";
    f_driver_list: "List of drivers", "Список водителей";
    f_term: "Term, months", "Срок (мес.)";
    f_deductible: "Deductible", "Франшиза";
    f_extra: "Other choices", "Прочие условия";

    // Explore.
    time_from: "From", "С";
    time_to: "To", "По";
    verdict: "Decision", "Решение";
    any: "any", "любое";
    quote_id: "Quote", "Заявка";
    search: "Search", "Найти";
    export: "CSV", "CSV";
    export_all: "Download all as CSV", "Скачать всё в CSV";
    time: "Time", "Время";
    product: "Product", "Продукт";
    channel: "Channel", "Канал";
    suspicious: "Suspicious", "Подозрительных";
    nothing_found: "No decision matches. Widen the time range, or leave a field empty.",
        "Ничего не найдено. Расширьте период или очистите поле.";
    condition: "Condition", "Условие";
    condition_features: "What a condition may name", "Что можно назвать в условии";
    condition_hint: "As in a rule. Numbers are over the window of the rule that decided.",
        "Пишется как в правиле. Числа — за окно правила, которое решило.";
    looked_at: "Decisions looked through:", "Просмотрено решений:";
    looks_on: "the next page goes on from there", "следующая страница продолжит поиск";
    over_time: "Decisions over time", "Решения по времени";
    bad_time: "Give the time as 2026-11-28T14:30.", "Время указывается как 2026-11-28T14:30.";

    // Rules.
    rule_book: "Rule book", "Книга правил";
    version: "Version", "Версия";
    in_force: "in force", "действует";
    since: "Since", "С";
    mode: "Mode", "Режим";
    then: "Then", "Исход";
    owner: "Owner", "Владелец";
    live_hits: "live", "боевых";
    shadow_hits: "shadow", "теневых";
    errors: "errors", "ошибок";
    since_start: "since the service started", "с запуска службы";
    source: "Source", "Исходный текст";
    versions: "Versions", "Версии";
    books_starting: "The rule book is not loaded yet.", "Книга правил ещё не загружена.";
    no_version: "The log has no such version.", "В журнале нет такой версии.";

    // Operations.
    partitions: "Partitions", "Разделы";
    stores: "Stores", "Хранилища";
    store: "Store", "Хранилище";
    up: "up", "работает";
    down: "down", "не отвечает";
    stage: "Stage", "Этап";
    stage_times: "Stages", "Этапы";
    count: "Count", "Число";
    mean: "Mean", "Среднее";
    dead_letters: "Dead letters", "Отклонённые записи";
    no_dead_letters: "None.", "Нет.";
    letter_last: "Refused last", "Последние отклонённые";
    letter_position: "Position", "Позиция";
    letter_place: "From", "Откуда";
    letter_error: "What is wrong", "Что не так";
    letter_again: "Send again", "Отправить снова";
    letter_hint: "Once its cause is gone, a record can be sent again: it becomes a new one at the end of the log.",
        "Когда причина устранена, запись можно отправить снова: она станет новой в конце журнала.";
    letter_topic: "Over Kafka they are records of the topic of dead letters.", "При работе через Kafka это записи топика отклонённых.";
    letter_decided: "It was a quote, and is decided.", "Это заявка, решение вынесено.";
    letter_known: "The same quote had been decided already.", "По этой заявке решение уже было.";
    letter_refused: "It was refused again; see the newest line.", "Снова отклонено; см. верхнюю строку.";
    letter_no_quote: "The record is no quote as it stands. Correct it at its source and send it from there.",
        "Запись по-прежнему не является заявкой. Исправьте её в источнике и отправьте оттуда.";
    letter_held: "An operator has paused the checks. Nothing was done.", "Проверки приостановлены оператором. Ничего не сделано.";
    letter_busy: "Too many quotes are waiting. Nothing was done; try again.", "Слишком много заявок ждут. Ничего не сделано; повторите.";
    letter_pending: "It was sent; its decision will come in a moment.", "Отправлено; решение появится через мгновение.";
    queue_depth: "Quotes waiting for the writer", "Заявок ждут записи";
    live_attempts: "Attempts held", "Попыток в памяти";
    state_memory: "Memory of the state", "Память состояния";
    look_back: "Look-back really held", "Глубина хранения";
    desk_lag: "The desk is behind the log by", "Отставание от журнала";
    records: "records", "записей";
    seconds: "s", "с";
    pipelines: "Pipelines", "Потоки";
    pipeline_way: "From → to", "Откуда → куда";
    pipeline_position: "Position", "Позиция";
    pipeline_lag: "Waiting", "Ожидает";
    pipeline_rate: "Records/s", "Записей/с";
    pipeline_running: "running", "работает";
    pipeline_paused: "paused", "на паузе";
    pipeline_draining: "draining", "завершается";
    pipeline_stopped: "stopped", "остановлен";
    pipeline_failed: "failed", "сбой";
    pipeline_pause: "Pause", "Пауза";
    pipeline_resume: "Resume", "Продолжить";
    pipeline_drain: "Drain", "Завершить";
    done_pipeline: "The order was given.", "Команда отдана.";
    one_log: "One log, one partition.", "Один журнал, один раздел.";
    well: "well", "исправен";

    // Backtests.
    backtests: "Backtests", "Прогоны";
    backtests_off: "No folder of reports is named in the configuration:", "В конфигурации не указана папка отчётов:";
    backtests_none: "The folder holds no report yet. One is written by:", "В папке пока нет отчётов. Отчёт пишет команда:";
    backtests_period: "quotes of", "заявки за";
    backtests_per_day: "Referrals a day", "Передач в день";
    backtests_applicants: "Applicants referred", "Передано заявителей";
    backtests_premium: "Premium protected", "Премии защищено";
    backtests_honest: "Honest referred", "Передано честных";
    backtests_more: "Further books in the report:", "Ещё книг в отчёте:";

    // Audit.
    actor: "Who", "Кто";
    action: "What", "Что";
    subject: "About", "О чём";
    detail: "Detail", "Подробности";
    verify: "Verify the chain", "Проверить цепочку";
    chain_whole: "The chain is whole. Entries:", "Цепочка цела. Записей:";
    chain_broken: "The chain is broken at entry", "Цепочка нарушена на записи";
    tampered_changed: "it was changed", "запись изменена";
    tampered_deleted: "it was deleted", "запись удалена";
    tampered_cut: "the entries from it on were cut off", "записи начиная с неё отрезаны";
    tampered_unkeyed: "and all after it are bound without the key: written anew, or begun before there was one (keys reseal)", "и все следующие связаны без ключа: переписаны заново или начаты до его появления (keys reseal)";
    audit_empty: "No entry matches.", "Записей нет.";

    // Accounts.
    role: "Role", "Роль";
    role_underwriter: "underwriter", "андеррайтер";
    role_analyst: "analyst", "аналитик";
    role_admin: "administrator", "администратор";
    role_auditor: "auditor", "аудитор";
    last_login: "Last log-in", "Последний вход";
    never: "never", "никогда";
    active: "active", "активна";
    disabled: "disabled", "отключена";
    disable: "Disable", "Отключить";
    enable: "Enable", "Включить";
    reset_password: "New password", "Новый пароль";
    save: "Save", "Сохранить";
    add_account: "Add an account", "Добавить учётную запись";
    all_tenants: "All tenants", "Все компании";
    tenant_hint: "Empty: every tenant", "Пусто: все компании";
    account_rule: "2 to 64 of a-z, 0-9, dot, @, _ and -", "От 2 до 64 знаков: a-z, 0-9, точка, @, _ и -";
    account_bad_name: "A name has 2 to 64 of a-z, 0-9, dot, @, _ and -.", "Имя состоит из 2–64 знаков: a-z, 0-9, точка, @, _ и -.";
    account_exists: "There is an account of this name.", "Такая учётная запись уже есть.";
    account_last_admin: "The last active administrator has to stay.", "Последний активный администратор должен остаться.";
    account_password: "The first password, shown once. It must be changed at the first log-in:",
        "Первый пароль, показывается один раз. При первом входе его нужно сменить:";
    sessions_ended: "The sessions of this account have ended.", "Сеансы этой учётной записи завершены.";
    by_company: "through the company", "через компанию";
    by_company_place: "The company's provider says what this account may; a change there counts from the next log-in.",
        "Права этой учётной записи задаёт компания; изменение там действует со следующего входа.";

    // Keys of the API.
    api_keys: "API keys", "Ключи API";
    key: "Key", "Ключ";
    key_may: "Opens", "Что открывает";
    key_checks: "checks of quotes and their decisions", "проверка заявок и решения по ним";
    key_rules: "the rules of every tenant", "правила всех компаний";
    key_ops: "pipelines: pause, resume, drain", "потоки: пауза, продолжение, завершение";
    key_rulings: "rulings, snoozes, erasures", "решения по делам, отсрочки, удаление данных";
    key_rate: "Rate, burst", "Частота, запас";
    key_no_limit: "no limit", "без предела";
    key_in_force: "in force", "действует";
    key_replaced: "being replaced", "заменяется";
    key_expired: "expired", "истёк";
    key_state_revoked: "revoked", "отозван";
    key_created: "Created", "Создан";
    key_expires: "Expires", "Истекает";
    key_last_used: "Last used", "Использован";
    key_rotate: "Rotate", "Сменить";
    key_revoke: "Revoke", "Отозвать";
    key_revoked: "The key is revoked. Within two seconds it opens nothing.", "Ключ отозван. Не позднее чем через две секунды он ничего не откроет.";
    key_overlap: "Both keys hold for", "Оба ключа действуют";
    key_overlap_hint: "When a key is rotated, both hold for the time chosen.", "При смене ключа старый и новый действуют вместе выбранное время.";
    keys_hint: "Keys of the configuration are not in this list.", "Ключей из конфигурации в этом списке нет.";
    key_at_once: "no overlap", "только новый";
    hours: "h", "ч";
    keys_empty: "There are no keys on the desk.", "Ключей здесь пока нет.";
    key_add: "Make a key", "Создать ключ";
    key_expires_days: "Days until it expires; empty: never", "Срок в днях; пусто: бессрочно";
    key_rate_per_sec: "Requests a second; empty: as configured, 0: no limit", "Запросов в секунду; пусто: из конфигурации, 0: без предела";
    key_burst: "At once after a rest; empty: one second's worth", "Подряд после паузы; пусто: запас на секунду";
    key_fresh: "The key, shown this once. The desk has its hash alone:", "Ключ, показывается один раз. Здесь хранится только его хеш:";
    key_api_open: "The API is open: whoever reaches the service may ask without a key. The first key ends that.",
        "API открыт: любой, кому доступна служба, обращается без ключа. Первый ключ это прекратит.";
    key_close: "From this key on, requests without a key are refused", "С этого ключа запросы без ключа отклоняются";
    key_would_close: "This is the first key: from it on, requests without a key are refused. Tick the box if that is meant.",
        "Это первый ключ: с него запросы без ключа отклоняются. Отметьте поле, если так и задумано.";
    key_name_taken: "A key of this name is in force. Rotate or revoke it, or choose another name.",
        "Ключ с таким именем действует. Смените или отзовите его либо выберите другое имя.";
    key_too_many: "Too many keys are in force. Revoke some.", "Действующих ключей слишком много. Отзовите лишние.";
    key_gone: "The key is not in force any more, or is not yours to change.", "Ключ уже не действует либо не относится к вашей компании.";
    key_already_replaced: "Another key has taken its place already.", "Его уже заменил другой ключ.";
    key_bad_name: "A name has 2 to 64 of a-z, 0-9, dot, @, _ and -, and is not start, folder, breaker or anyone.",
        "Имя состоит из 2–64 знаков: a-z, 0-9, точка, @, _ и -, но не start, folder, breaker, anyone.";
    key_bad_may: "Choose what the key opens.", "Выберите, что открывает ключ.";
    key_bad_number: "Give a tenant of 1 to 64 characters, a rate up to 1,000,000, a burst of 1 or more, at most 3,650 days.",
        "Компания: от 1 до 64 знаков; частота до 1 000 000; запас от 1; срок не более 3 650 дней.";
}

impl Texts {
    pub fn of(language: Language) -> &'static Texts {
        match language {
            Language::En => &EN,
            Language::Ru => &RU,
        }
    }

    pub fn language(&self) -> Language {
        self.of
    }

    pub fn field(&self, field: Field) -> &'static str {
        match field {
            Field::LastName => self.f_last_name,
            Field::FirstName => self.f_first_name,
            Field::MiddleName => self.f_middle_name,
            Field::BirthDate => self.f_birth_date,
            Field::IdDocument => self.f_id_document,
            Field::DriverLicence => self.f_driver_licence,
            Field::Phone => self.f_phone,
            Field::Email => self.f_email,
            Field::Address => self.f_address,
            Field::Vin => self.f_vin,
            Field::Plate => self.f_plate,
            Field::MakeModel => self.f_make_model,
            Field::Year => self.f_year,
            Field::Power => self.f_power,
            Field::DriverData => self.f_driver_data,
            Field::DriverList => self.f_driver_list,
            Field::Term => self.f_term,
            Field::Deductible => self.f_deductible,
            Field::Extra => self.f_extra,
        }
    }

    pub fn level(&self, level: Level) -> &'static str {
        match level {
            Level::Missing => self.level_missing,
            Level::Same => self.level_same,
            Level::Disguised => self.level_disguised,
            Level::Near => self.level_near,
            Level::Different => self.level_different,
        }
    }

    pub fn status(&self, status: Status) -> &'static str {
        match status {
            Status::Open => self.open,
            Status::Cleared => self.cleared,
            Status::Confirmed => self.confirmed,
            Status::ProofRequested => self.proof_requested,
        }
    }

    pub fn ruling(&self, kind: RulingKind) -> &'static str {
        match kind {
            RulingKind::Cleared => self.cleared,
            RulingKind::Confirmed => self.confirmed,
            RulingKind::Reopened => self.reopened,
            RulingKind::ProofRequested => self.proof_requested,
            RulingKind::Snooze => self.snoozed,
            RulingKind::Erased => self.erased,
        }
    }

    /// Of a stable reason code; the code itself where it is an analyst's own.
    pub fn reason<'a>(&self, code: &'a str) -> &'a str {
        let (en, ru) = match code {
            "PARAMETER_PICKING" => ("parameter picking", "подбор параметров"),
            "GHOST_BROKER" => ("many applicants from one source", "много заявителей из одного источника"),
            "PARAMETER_PICKING_SUSPECTED" => ("parameter picking suspected", "похоже на подбор параметров"),
            "DATA_MISUSE_SUSPECTED" => ("somebody else's data suspected", "похоже на чужие данные"),
            "CONFIRMED_CASE" => ("linked to a confirmed case", "связь с подтверждённым делом"),
            other => (other, other),
        };
        match self.of {
            Language::En => en,
            Language::Ru => ru,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn both_languages_say_everything() {
        let mut names = BTreeSet::new();
        for (name, en, ru) in TABLE {
            assert!(!en.trim().is_empty() && !ru.trim().is_empty(), "{name}");
            assert!(names.insert(name), "{name} twice");
            // A Latin sentence in the Russian column was forgotten; names of formats are the same in both.
            let has_cyrillic = ru.chars().any(|c| ('\u{400}'..='\u{4ff}').contains(&c));
            assert!(has_cyrillic || ["VIN", "CSV"].contains(ru), "{name}: {ru}");
            assert!(!en.chars().any(|c| ('\u{400}'..='\u{4ff}').contains(&c)), "{name}: {en}");
            let ends = |text: &str| text.ends_with(['.', ':']);
            assert_eq!(ends(en), ends(ru), "{name}: one is a sentence, the other is not");
        }
    }
}
