//! Words that say how a sentence is built and not what it is about.

use super::Language;

/// The stop words of a language, in lower case with their accents; none where we have no list.
pub(super) fn stop_words(language: Language) -> impl Iterator<Item = &'static str> {
    let words = match language {
        Language::English => ENGLISH,
        Language::German => GERMAN,
        Language::Spanish => SPANISH,
        Language::French => FRENCH,
        Language::Italian => ITALIAN,
        Language::Portuguese => PORTUGUESE,
        Language::Dutch => DUTCH,
        _ => "",
    };
    words.split_whitespace()
}

const ENGLISH: &str = "
    a an the this that these those
    and or but nor if then than as so because while though although
    of in on at by to from for with without into onto upon about between through during before after above below under
    over against within toward towards per via
    i me my mine we us our ours you your yours he him his she her hers it its they them their theirs
    myself ourselves yourself himself herself itself themselves
    who whom whose which what when where why how
    is am are was were be been being isn aren wasn weren
    has have had having hasn hadn
    do does did doing doesn didn
    can could may might must shall should will would couldn shouldn wouldn
    not no there here also such some any each both either neither all only just very too own same other
";

const GERMAN: &str = "
    der die das den dem des ein eine einer eines einem einen kein keine keiner keinem keinen
    und oder aber doch denn sondern wenn als wie dass daß weil ob obwohl während
    in im an am auf aus bei beim mit nach von vom zu zum zur für über unter vor hinter zwischen durch gegen ohne um bis seit
    ich du er sie es wir ihr mich dich sich uns euch mir dir ihm ihn ihnen
    mein meine meinem meinen meiner dein deine deinem deinen deiner sein seine seinem seinen seiner
    unser unsere unserem unseren euer eure ihre ihrem ihren ihrer
    dieser diese dieses diesem diesen jener jene jenes jeder jede jedes jedem jeden welcher welche welches
    wer wen wem wessen was wo wann warum
    bin bist ist sind seid war waren warst gewesen sei wäre wären
    habe hast hat haben habt hatte hatten hätte hätten gehabt
    werde wirst wird werden wurde wurden worden würde würden
    kann können konnte konnten muss müssen musste soll sollen sollte will wollen wollte darf dürfen
    nicht nichts auch noch nur schon sehr so da dann hier dort man mehr
";

const SPANISH: &str = "
    el la los las lo un una unos unas al del
    y e o u pero sino ni que si porque como cuando donde aunque mientras
    a ante bajo con contra de desde durante en entre hacia hasta para por según sin sobre tras
    yo tú él ella ello nosotros nosotras vosotros vosotras ellos ellas usted ustedes me te se nos os le les mí ti sí
    mi mis tu tus su sus nuestro nuestra nuestros nuestras vuestro vuestra vuestros vuestras suyo suya
    este esta esto estos estas ese esa eso esos esas aquel aquella aquello aquellos aquellas
    quien quienes cual cuales qué quién cuál cómo cuándo dónde cuyo cuya
    soy eres es somos son era eran fue fueron ser sido siendo sea sean será
    estoy está están estaba estaban estar estado
    he ha has han había habían haber hay hubo
    no ni también más muy ya todo toda todos todas otro otra otros otras algo alguno alguna algunos algunas nada
";

const FRENCH: &str = "
    le la les l un une des du de d au aux
    et ou mais donc or ni car que qu si comme quand lorsque parce puisque
    à dans en par pour sur sous avec sans chez vers entre contre depuis pendant avant après
    je j tu il elle on nous vous ils elles me m te t se s lui leur y moi toi soi eux
    mon ma mes ton ta tes son sa ses notre nos votre vos leurs
    ce c cet cette ces cela ça ceci celui celle ceux celles
    qui quoi dont où quel quelle quels quelles lequel laquelle
    suis es est sommes êtes sont étais était étions étiez étaient fut furent être étant soit serai sera seront serait
    ai as a avons avez ont avais avait avaient avoir eu ayant aura aurait
    ne n pas plus non aussi très même mêmes tout toute tous toutes autre autres
";

const ITALIAN: &str = "
    il lo la i gli le l un uno una
    di a da in con su per tra fra al allo alla ai agli alle all dal dallo dalla dai dagli dalle dall
    del dello della dei degli delle dell nel nello nella nei negli nelle nell sul sullo sulla sui sugli sulle sull col coi
    e ed o ma né se che perché come quando dove mentre anche
    io tu lui lei noi voi loro mi ti ci vi si ne me te sé gliene
    mio mia miei mie tuo tua tuoi tue suo sua suoi sue nostro nostra nostri nostre vostro vostra vostri vostre
    questo questa questi queste quello quella quelli quelle quel quei
    chi cui quale quali quanto quanta quanti quante
    sono sei è siamo siete era erano ero fu furono essere stato stata stati state sia siano sarà
    ho hai ha abbiamo avete hanno avevo aveva avevano avere avuto
    non più molto tutto tutta tutti tutte altro altra altri altre
";

const PORTUGUESE: &str = "
    o a os as um uma uns umas ao aos à às do da dos das no na nos nas num numa pelo pela pelos pelas
    de em por para com sem sob sobre entre até desde contra
    e ou mas nem que se porque como quando onde embora enquanto
    eu tu ele ela nós vós eles elas você vocês me te lhe lhes mim ti si
    meu minha meus minhas teu tua teus tuas seu sua seus suas nosso nossa nossos nossas dele dela deles delas
    este esta isto estes estas esse essa isso esses essas aquele aquela aquilo aqueles aquelas
    quem qual quais cujo cuja
    sou és é somos são era eram foi foram ser sido sendo seja sejam será
    estou está estão estava estavam estar estado
    tem têm tinha tinham ter tido há havia haver
    não também mais muito já todo toda todos todas outro outra outros outras
";

const DUTCH: &str = "
    de het een der des den
    en of maar want dus noch dat als dan toen omdat hoewel terwijl
    in op aan bij van voor met naar uit over onder tussen door tegen zonder om tot sinds te
    ik jij je hij zij ze wij we jullie u mij me jou hem haar ons hun hen zich
    mijn jouw uw zijn onze
    deze dit die elk elke ieder iedere welk welke
    wie wat waar wanneer waarom hoe
    ben bent is was waren geweest wordt worden werd werden
    heb hebt heeft hebben had hadden gehad
    kan kunnen kon konden moet moeten moest zal zullen zou zouden wil willen wilde mag mogen
    niet geen niets ook nog al wel zo er hier daar zeer meer
";
